"""Small copies take the place of images, not of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.shapes import shapes_folder
from training.data.loading import load
from training.data.small_copies import with_small_copies


def test_images_are_small_and_files_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    data = load(shapes_folder(tmp_path / "shapes", 12), progress=False)
    small = with_small_copies(data, 24, tmp_path / "cache/pixels.npy", workers=0)
    assert small.records == data.records
    assert small.sha256 == data.sha256
    for index in (0, len(data) - 1):
        assert small.image(index).size == (24, 24)
        assert small.read(index) == data.read(index)
        mean = np.asarray(data.image(index).convert("RGB")).mean()
        assert abs(np.asarray(small.image(index)).mean() - mean) < 3
    assert small.source.digest(0) == data.source.digest(data.places[0])
    assert [entry.key for entry in small.source.entries] == [record.key for record in data.records]
