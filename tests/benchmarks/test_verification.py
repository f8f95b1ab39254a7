from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import verification
from benchmarks.verification import copied, grounded, half, on_ground
from tests.drawings import write_tar
from tests.tiny_models import write_embedder
from tests.verification.photos import drawn_photo
from training.drawings import KINDS


def test_edits_do_what_they_say() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert half(pixels).shape[0] * half(pixels).shape[1] == pytest.approx(60 * 80 / 2, rel=0.03)
    page = grounded(pixels)
    assert page.shape[0] * page.shape[1] == pytest.approx(5 * 60 * 80, rel=0.03)
    assert (page == 240).all(axis=2).mean() == pytest.approx(0.8, abs=0.02)
    assert copied(pixels).shape == (40, 53, 3)


@pytest.mark.parametrize(("ink", "ground"), [(255, 0), (0, 255)])
def test_transparency_is_laid_on_what_shows_the_content(ink: int, ground: int) -> None:
    image = Image.new("RGBA", (20, 20), (ink, ink, ink, 0))
    image.putpixel((5, 5), (ink, ink, ink, 255))
    pixels = on_ground(image)
    assert (pixels[0, 0].tolist(), pixels[5, 5].tolist()) == ([ground] * 3, [ink] * 3)


def test_a_line_for_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_embedder(tmp_path / "tiny_embedder")
    photos = {f"{number}.png": _png(number) for number in range(3)}
    tar = write_tar(tmp_path / "photos.tar", photos)
    assert verification.main(["--count", "2", "--model", str(tmp_path / "tiny_embedder"), "--photos", str(tar)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    rows = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in table}
    assert len(rows) == len(KINDS) + len(verification.EDITS)
    assert rows["qr code"][4] == "1.000"  # average precision of the agreement


def _png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(drawn_photo(seed, 120, 160)).save(file, "PNG")
    return file.getvalue()
