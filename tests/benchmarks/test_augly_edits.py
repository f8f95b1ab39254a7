"""Copies and their table, with a stand-in for AugLy, which needs an environment of its own."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from benchmarks import augly_edits
from benchmarks.augly_edits import settings, sheet, write
from tests.drawings import drawing

# fmt: off
ISSUED = (
    "apply_pil_filter", "blur", "brightness", "change_aspect_ratio", "clip_image_size", "color_jitter", "contrast",
    "convert_color", "crop", "encoding_quality", "grayscale", "hflip", "vflip", "masked_composite", "meme_format",
    "opacity", "overlay_emoji", "overlay_image", "overlay_onto_background_image", "overlay_onto_screenshot",
    "overlay_stripes", "overlay_text", "pad", "pad_square", "perspective_transform", "pixelization", "random_noise",
    "resize", "rotate", "saturation", "scale", "sharpen", "shuffle_pixels", "skew",
)
# fmt: on
UNSET = ("hflip", "vflip", "pad_square")  # there is nothing to make stronger


class StandIn:
    """Every function mirrors the photo."""

    __file__ = "augly/image/__init__.py"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name[0].isupper():
            return lambda **options: name
        return lambda photo, **options: ImageOps.mirror(photo)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        drawing(number).save(tmp_path / f"000{number}_room.png")
    drawing(2).save(tmp_path / "ground_0.png")
    (tmp_path / "photos.csv").write_text(
        "path,kind,alike\n0000_room.png,room,0001_room.png\n0001_room.png,room,0000_room.png\n", encoding="utf-8"
    )
    return tmp_path


def test_every_edit_has_two_different_settings() -> None:
    found = settings(drawing(0), drawing(1), StandIn(), 0)
    assert sorted(found) == sorted(ISSUED)
    assert {name for name, (mild, strong) in found.items() if mild == strong} == set(UNSET)
    again = settings(drawing(0), drawing(1), StandIn(), 0)
    assert (
        again["overlay_text"] == found["overlay_text"] != settings(drawing(0), drawing(1), StandIn(), 1)["overlay_text"]
    )


def test_each_photo_meets_its_copies_and_those_of_its_look_alike(folder: Path) -> None:
    samples = write(folder, StandIn())
    edits = 2 * len(ISSUED) - len(UNSET)
    assert len(samples) == len(list((folder / "edited").iterdir())) / 2 == edits
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * edits
    for row in rows:
        assert (row["path_a"][:4] == Path(row["path_b"]).name[:4]) == (row["is_same"] == "1")
    assert rows[0] == {
        "path_a": "0000_room.png",
        "path_b": "edited/0000_room_apply_pil_filter_mild.jpg",
        "is_same": "1",
        "kind": "room, apply_pil_filter, mild",
    }
    with Image.open(folder / rows[0]["path_b"]) as copy:
        assert copy.size == drawing(0).size
    assert sheet(samples).width == augly_edits.COLUMNS * (augly_edits.CELL[0] + augly_edits.GAP)


def test_without_augly_it_says_what_to_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert augly_edits.main([str(folder)]) == 1
    assert "make bench-augly" in capsys.readouterr().err
