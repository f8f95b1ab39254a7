"""The tables of decisions, on answers that are known, and the whole command on drawn photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import augly_scores
from benchmarks.augly_scores import Answers, by_edit, summary
from tests.tiny_models import write_embedder
from tests.verification.photos import drawn_photo

IMAGES = ("room", "chart")
EDITS = ("blur, mild", "crop, strong", "vflip")


@pytest.fixture
def answers() -> Answers:
    """Two photos of each kind. Served: all is right, but no chart is known when cropped, one of two rooms is not when
    flipped, and one different chart is called under blur. Verified: never a duplicate."""
    rows = [(image, edit, photo, same) for image in IMAGES for edit in EDITS for photo in (0, 1) for same in (1, 0)]
    images, edits, photos, same = (np.array(column) for column in zip(*rows, strict=True))
    served = same == 1
    served &= ~((images == "chart") & (edits == "crop, strong"))
    served &= ~((images == "room") & (edits == "vflip") & (photos == 1))
    served |= (images == "chart") & (edits == "blur, mild") & (photos == 1)
    number = photos + 2 * (images == "chart")
    return Answers(same == 1, number, images, edits, np.stack([served, np.zeros_like(served)], axis=1))


def test_the_worst_cell_is_named(answers: Answers) -> None:
    assert answers.worst_cell(0) == (0, "chart, crop, strong")
    assert answers.worst_cell(0, "vflip") == (0.5, "room, vflip")


def test_means_are_of_all_kinds(answers: Answers) -> None:
    assert answers.mean(0, same=True)[0] == pytest.approx(9 / 12)
    assert answers.mean(0, same=False)[0] == pytest.approx(1 / 12)
    assert answers.mean(1, same=True)[:3] == (0, 0, 0)


def test_tables(answers: Answers) -> None:
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in summary(answers).splitlines()}
    assert lines["worst kind of edit"].split(" | ")[1] == ".500 (crop, strong)"
    assert lines["worst kind of image × edit"].split(" | ")[1] == ".000 (chart, crop, strong)"
    assert lines["room: recall · false"] == "| room: recall · false | .833 · .000 | .000 · .000 |"
    assert lines["chart: recall · false"] == "| chart: recall · false | .667 · .167 | .000 · .000 |"
    assert "| vflip | 4 | .750 | .500 (room) | .000 | .000 | .000 (room) | .000 |" in by_edit(answers).splitlines()


def test_figures_are_the_served_ones(answers: Answers) -> None:
    found = {metric.name: metric for metric in augly_scores.metrics(answers, "AugLy", "val")}
    crop = found["AugLy's edits, crop, strong: recognised"]
    assert (crop.value, crop.n, crop.split) == (0.5, 4, "val")
    assert found["AugLy's edits: recognised"].value == 0.75


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_embedder(tmp_path / "models" / "tiny_embedder")
    for number in range(2):
        photo = Image.fromarray(drawn_photo(number, 120, 160))
        photo.save(tmp_path / f"{number}.png")
        photo.resize((120, 90)).save(tmp_path / f"{number}.jpg")
    (tmp_path / "pairs.csv").write_text(
        'path_a,path_b,is_same,kind\n0.png,0.jpg,1,"room, scale, mild"\n0.png,1.jpg,0,"room, scale, mild"\n',
        encoding="utf-8",
    )
    arguments = [str(tmp_path), "--on", "val", "--models", str(tmp_path / "models")]
    assert augly_scores.main([*arguments, "--metrics", str(tmp_path / "metrics.json")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| scale, mild"))
    assert line.split(" | ")[5] == "1.000"
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert {metric["n"] for metric in written} == {1}
