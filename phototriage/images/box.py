"""A region of an image, in pixel edges: the whole is (0, 0, height, width), and the centre of the pixel at row 0 lies
at 0.5.
"""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """A region in pixel edges; `bottom` and `right` are exclusive."""

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
