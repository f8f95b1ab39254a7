"""What graphs give for images, and that it is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tiny_models import input_rule
from training.studies.backbone_features import BATCH, describe, hidden, kept


def test_images_are_described_in_their_order_whatever_the_batch() -> None:
    count, rule = BATCH + 3, input_rule()
    starts = []

    def change(pixels: NDArray[np.uint8], start: int) -> NDArray[np.uint8]:
        starts.append(start)
        return pixels + 1

    def mean(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([[image.mean()] for image in pixels], np.float32)

    images = [Image.new("RGB", (8, 8), (i, i, i)) for i in range(count)]
    found = describe(iter(images), count, {"mean": (rule, mean)}, change)
    assert found["mean"][:, 0].tolist() == [i + 1 for i in range(count)]
    assert starts == [0, BATCH]


def test_hidden_cells_take_the_mean_colour() -> None:
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    pixels[:, ::2] = 200
    found = hidden(pixels, [3, 4])
    for image in found:
        assert (image == 100).all(-1).mean() == pytest.approx(19 / 64)
    assert not np.array_equal(found[0], found[1])


def test_what_was_computed_is_kept(tmp_path: Path) -> None:
    calls = []

    def make() -> dict[str, NDArray[np.float32]]:
        calls.append(1)
        return {"embedder@224": np.ones((2, 3), np.float32)}

    for _ in range(2):
        found = kept(tmp_path / "val.npz", make)
        assert found["embedder@224"].shape == (2, 3)
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["val.npz"]
