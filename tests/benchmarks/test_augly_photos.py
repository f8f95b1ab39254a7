"""Which photos are edited: drawn in couples of look-alikes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.augly_photos import Chosen, choose, write

ANGLES = (0, 3, 40, 44, 90, 91, 180, 185)  # degrees: four couples of look-alikes


def on_circle(angles: tuple[int, ...]) -> NDArray[np.float32]:
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_an_image_comes_with_its_look_alike(seed: int) -> None:
    chosen, alike = choose(on_circle(ANGLES), np.arange(8), 4, seed)
    assert len(set(chosen)) == 4
    assert [chosen[place] for place in alike] == [place ^ 1 for place in chosen]


def test_near_identical_photos_are_no_look_alikes() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    chosen, alike = choose(on_circle(ANGLES), groups, 8, 0)
    assert all(groups[place] != groups[chosen[other]] for place, other in zip(chosen, alike, strict=True))


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="0 images of 8"):
        choose(on_circle(ANGLES), np.zeros(8, np.int64), 2, 0)
    with pytest.raises(ValueError, match="3 is odd"):
        choose(on_circle(ANGLES), np.arange(8), 3, 0)


def test_a_table_names_each_look_alike(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    found = [Chosen(image, "bar chart", 1), Chosen(image, "bar chart", 0)]
    write(found, [image], tmp_path / "photos")
    with (tmp_path / "photos" / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["0000_bar_chart.png", "0001_bar_chart.png"]
    assert [row["alike"] for row in rows] == ["0001_bar_chart.png", "0000_bar_chart.png"]
    assert {path.name for path in (tmp_path / "photos").glob("*.png")} == {
        *(row["path"] for row in rows),
        "ground_0.png",
    }
