"""Where a model's input lies in the upright image, and the way back for masks and points.

Coordinates are (row, column).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.images.box import Box
from phototriage.images.input_config import InputConfig
from phototriage.images.resampling import resample


@dataclass(frozen=True)
class Geometry:
    """The region `seen` of the upright image (height, width) fills the region `filled` of the input.

    FileRange: both are the whole. Crop: `seen` is the window, with fractions of a pixel. Pad: `filled` is the
    part of the input, in whole pixels, that is not padding.
    """

    height: int
    width: int
    seen: Box
    filled: Box

    def point_to_upright(self, row: float, column: float, radius: float) -> tuple[float, float, float]:
        """Map a disc, given in pixel indices of the input, to pixel indices of the upright image.

        Where rows and columns scale differently, the radius keeps the disc's area. A point in the padding
        lands outside the image.
        """
        rows = self.seen.height / self.filled.height
        columns = self.seen.width / self.filled.width
        return (
            self.seen.top + (row + 0.5 - self.filled.top) * rows - 0.5,
            self.seen.left + (column + 0.5 - self.filled.left) * columns - 0.5,
            radius * math.sqrt(rows * columns),
        )


def fit(height: int, width: int, rule: InputConfig) -> Geometry:
    """The geometry by which an upright image of (height, width) pixels becomes the rule's input."""
    seen = Box(0.0, 0.0, float(height), float(width))
    filled = Box(0.0, 0.0, float(rule.height), float(rule.width))
    if rule.aspect == "crop":
        by_rows, by_columns = height / rule.height, width / rule.width
        scale = min(by_rows, by_columns)
        # Of the side that fills the input all is seen: rounding must not leave a hair of it out.
        rows = float(height) if scale == by_rows else max(1.0, rule.height * scale)
        columns = float(width) if scale == by_columns else max(1.0, rule.width * scale)
        seen = _centred(height, width, rows, columns)
    elif rule.aspect == "pad":
        scale = min(rule.height / height, rule.width / width)
        rows, columns = max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5))
        top, left = (rule.height - rows) // 2, (rule.width - columns) // 2
        filled = Box(float(top), float(left), float(top + rows), float(left + columns))
    return Geometry(height, width, seen, filled)


def _centred(height: int, width: int, rows: float, columns: float) -> Box:
    top, left = (height - rows) / 2, (width - columns) / 2
    # Rounding may carry an edge a hair past the image, which is refused.
    top, left = max(0.0, top), max(0.0, left)
    return Box(top, left, min(top + rows, float(height)), min(left + columns, float(width)))


def to_upright(mask: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Map a mask (h, w) uint8 at the model's input to (H, W) uint8 on the upright image.

    Bilinear; where the image is smaller than the input, the triangle widens, so that no peak falls between
    pixels. A pixel whose centre the model did not see is 0.
    """
    seen, filled = geometry.seen, geometry.filled
    rows = _centres(seen.top, seen.bottom)
    columns = _centres(seen.left, seen.right)
    row_scale, column_scale = filled.height / seen.height, filled.width / seen.width
    # The outermost pixels may stick out of `seen` by up to half their size: repeat the mask's edge there.
    row_margin, column_margin = math.ceil(row_scale), math.ceil(column_scale)
    part = mask[int(filled.top) : int(filled.bottom), int(filled.left) : int(filled.right)]
    part = np.pad(part, ((row_margin, row_margin), (column_margin, column_margin)), mode="edge")
    box = Box(
        row_margin + (rows.start - seen.top) * row_scale,
        column_margin + (columns.start - seen.left) * column_scale,
        row_margin + (rows.stop - seen.top) * row_scale,
        column_margin + (columns.stop - seen.left) * column_scale,
    )
    size = rows.stop - rows.start, columns.stop - columns.start
    upright = np.zeros((geometry.height, geometry.width), np.uint8)
    upright[rows, columns] = np.asarray(resample(Image.fromarray(part), box, *size, "bilinear"))
    return upright


def _centres(start: float, stop: float) -> slice:
    """The pixels whose centres lie in [start, stop); never empty, since a region is at least a pixel long."""
    return slice(math.ceil(start - 0.5), math.ceil(stop - 0.5))
