"""A region of an image, in coordinates of pixel edges: the whole image is (0, 0, height, width), and the centre of the
first row's pixels is at 0.5.
"""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A region in coordinates of pixel edges, which may lie inside a pixel."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left
