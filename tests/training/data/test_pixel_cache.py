"""Pixels that are decoded once are those of serving, and a half-written file is never taken up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, prepare
from tests.drawings import drawing, encoded, write_folder
from training.data import pixel_cache
from training.data.dataset import Dataset
from training.data.loading import load
from training.data.pixel_cache import cached_pixels


def rule(side: int) -> InputConfig:
    return InputConfig(height=side, width=side, colour="rgb", resize="bicubic", antialias=True, aspect="stretch")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    photos = write_folder(tmp_path / "photos", {f"{i:02}.png": encoded(drawing(i)) for i in range(5)})
    return load(photos, labelled=False, progress=False)


def test_the_pixels_are_those_of_serving(data: Dataset, tmp_path: Path) -> None:
    found = cached_pixels(data, rule(24), tmp_path / "pixels.npy", workers=0)
    for row, pixels in enumerate(found):
        assert np.array_equal(pixels, prepare(data.read(row), rule(24), ImageLimits()).pixels)


def test_they_are_decoded_once(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pixels.npy"
    first = np.array(cached_pixels(data, rule(24), path, workers=0))
    # Another size is made again.
    assert cached_pixels(data, rule(16), path, workers=0).shape == (5, 16, 16, 3)
    assert np.array_equal(cached_pixels(data, rule(24), path, workers=0), first)
    monkeypatch.setattr(pixel_cache, "batches", None)
    assert np.array_equal(cached_pixels(data, rule(24), path, workers=0), first)


def test_what_was_cut_off_is_made_again(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pixels.npy"

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pixel_cache, "batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached_pixels(data, rule(24), path, workers=0)
    assert not path.exists()
    assert cached_pixels(data, rule(24), path, workers=0).any()
