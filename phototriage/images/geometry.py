"""Which part of the upright image a model's input shows, and how masks and points are mapped back to the image.

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
    """The region `source` of an upright image of (height, width) pixels is resized to the region `target` of the input.

    With aspect `stretch` both are the whole. With `crop`, `source` is the window, which may begin inside a pixel. With
    `pad`, `target` is the part of the input, in whole pixels, that is not padding.
    """

    height: int
    width: int
    source: Box
    target: Box

    def point_to_upright(self, row: float, column: float, radius: float) -> tuple[float, float, float]:
        """Map a disc from pixel indices of the input to pixel indices of the upright image: row, column, radius.

        Where rows and columns scale differently, the radius keeps the disc's area. A point in the padding
        lands outside the image.
        """
        rows = self.source.height / self.target.height
        columns = self.source.width / self.target.width
        return (
            self.source.top + (row + 0.5 - self.target.top) * rows - 0.5,
            self.source.left + (column + 0.5 - self.target.left) * columns - 0.5,
            radius * math.sqrt(rows * columns),
        )


def fit(height: int, width: int, config: InputConfig) -> Geometry:
    """How an upright image of (height, width) pixels becomes an input of that configuration."""
    source = Box(0.0, 0.0, float(height), float(width))
    target = Box(0.0, 0.0, float(config.height), float(config.width))
    if config.aspect == "crop":
        by_rows, by_columns = height / config.height, width / config.width
        scale = min(by_rows, by_columns)
        # The side that limits the window is used whole: rounding must not cut anything off it.
        rows = float(height) if scale == by_rows else max(1.0, config.height * scale)
        columns = float(width) if scale == by_columns else max(1.0, config.width * scale)
        source = _centred(height, width, rows, columns)
    elif config.aspect == "pad":
        scale = min(config.height / height, config.width / width)
        rows, columns = max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5))
        top, left = (config.height - rows) // 2, (config.width - columns) // 2
        target = Box(float(top), float(left), float(top + rows), float(left + columns))
    return Geometry(height, width, source, target)


def _centred(height: int, width: int, rows: float, columns: float) -> Box:
    top, left = (height - rows) / 2, (width - columns) / 2
    # Rounding may place an edge slightly outside the image, which resampling refuses.
    top, left = max(0.0, top), max(0.0, left)
    return Box(top, left, min(top + rows, float(height)), min(left + columns, float(width)))


def to_upright(mask: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Map a mask (h, w) uint8 at the model's input to (H, W) uint8 on the upright image.

    Bilinear; where the image is smaller than the input, the filter widens, so that no peak is lost between pixels.
    A pixel whose centre is outside the model's input is 0.
    """
    source, target = geometry.source, geometry.target
    rows = _centres(source.top, source.bottom)
    columns = _centres(source.left, source.right)
    row_scale, column_scale = target.height / source.height, target.width / source.width
    # The outermost pixels may reach beyond `source` by up to half their size: repeat the mask's edge there.
    row_margin, column_margin = math.ceil(row_scale), math.ceil(column_scale)
    part = mask[int(target.top) : int(target.bottom), int(target.left) : int(target.right)]
    part = np.pad(part, ((row_margin, row_margin), (column_margin, column_margin)), mode="edge")
    box = Box(
        row_margin + (rows.start - source.top) * row_scale,
        column_margin + (columns.start - source.left) * column_scale,
        row_margin + (rows.stop - source.top) * row_scale,
        column_margin + (columns.stop - source.left) * column_scale,
    )
    size = rows.stop - rows.start, columns.stop - columns.start
    upright = np.zeros((geometry.height, geometry.width), np.uint8)
    upright[rows, columns] = np.asarray(resample(Image.fromarray(part), box, *size, "bilinear"))
    return upright


def _centres(start: float, stop: float) -> slice:
    """The pixels whose centres lie in [start, stop); never empty, since a region is at least a pixel long."""
    return slice(math.ceil(start - 0.5), math.ceil(stop - 0.5))
