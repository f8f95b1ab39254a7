"""A set that a small network learns in seconds: a bright disk or a bright square somewhere on noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.drawings import encoded, write_folder

LABELS = ("disk", "square")


def shape(label: str, seed: int, size: int = 32) -> Image.Image:
    """(size, size) RGB with the shape of that name in a random colour at a random place."""
    rng = np.random.default_rng((LABELS.index(label), seed))
    pixels = rng.integers(0, 90, (size, size, 3)).astype(np.uint8)
    row, column = rng.integers(size // 4, size - size // 4, 2)
    reach = size // 5
    rows, columns = np.ogrid[:size, :size]
    if label == "disk":
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= reach**2
        inside &= (rows - row) ** 2 + (columns - column) ** 2 >= (reach // 2) ** 2
    else:
        inside = (abs(rows - row) <= reach) & (abs(columns - column) <= reach)
    pixels[inside] = rng.integers(140, 256, 3)
    return Image.fromarray(pixels)


def shapes_folder(root: Path, per_class: int = 40) -> Path:
    """root/disk/*.png and root/square/*.png."""
    return write_folder(
        root, {f"{label}/{i:03}.png": encoded(shape(label, i)) for label in LABELS for i in range(per_class)}
    )
