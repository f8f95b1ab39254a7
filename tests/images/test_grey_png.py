from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.images.grey_png import encode

RNG = np.random.default_rng(0)
MASKS = {
    "pixel": np.array([[7]], np.uint8),
    "row": np.arange(256, dtype=np.uint8)[np.newaxis],
    "column": np.arange(256, dtype=np.uint8)[:, np.newaxis],
    "noise": RNG.integers(0, 256, (33, 47), np.uint8),
    "flat": np.full((60, 50), 255, np.uint8),
    "part of another": RNG.integers(0, 256, (40, 60), np.uint8)[5:30:2, 3:50],
}


@pytest.mark.parametrize("name", MASKS)
def test_pillow_reads_what_was_written(name: str) -> None:
    mask: NDArray[np.uint8] = MASKS[name]
    with Image.open(io.BytesIO(encode(mask))) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        image.verify()
    with Image.open(io.BytesIO(encode(mask))) as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
