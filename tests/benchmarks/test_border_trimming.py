from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import border_trimming
from benchmarks.border_trimming import AREAS, on_page, overlap, trimmed
from phototriage.images.box import Box
from tests.drawings import write_tar
from tests.tiny_models import write_embedder
from tests.verification.photos import drawn_photo


def test_overlap_by_hand() -> None:
    assert overlap(Box(0, 0, 2, 2), Box(0, 1, 2, 3)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 1, 1), Box(5, 5, 6, 6)) == 0


@pytest.mark.parametrize("area", AREAS)
def test_the_page_has_its_area_and_is_trimmed_to_the_photo(area: int) -> None:
    photo = Image.fromarray(drawn_photo(1, 120, 160))
    page, place = on_page(photo, area, np.random.default_rng(area))
    assert page.width * page.height == pytest.approx(area * 120 * 160, rel=0.1)
    assert (place.height, place.width) == (120, 160)
    assert np.abs(np.array(trimmed(page).size) - (160, 120)).max() <= 8


def test_two_lines_for_each_area(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_embedder(tmp_path / "tiny_embedder")
    photos = {}
    for number in range(3):
        file = io.BytesIO()
        Image.fromarray(drawn_photo(number, 120, 160)).save(file, "PNG")
        photos[f"{number}.png"] = file.getvalue()
    tar = write_tar(tmp_path / "photos.tar", photos)
    assert border_trimming.main(["--photos", str(tar), "--model", str(tmp_path / "tiny_embedder")]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines] == ["whole", "trimmed"] * len(AREAS)
