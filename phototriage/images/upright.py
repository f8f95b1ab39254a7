"""A decoded image, turned upright, that may have fewer pixels than the image which it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from phototriage.images.box import Box

_METHODS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Where what sticks out at the right and at the bottom comes to lie: at the top, left, bottom and right.
_MARGINS: Mapping[int, Callable[[float, float], tuple[float, float, float, float]]] = {
    1: lambda right, bottom: (0, 0, bottom, right),
    2: lambda right, bottom: (0, right, bottom, 0),
    3: lambda right, bottom: (bottom, right, 0, 0),
    4: lambda right, bottom: (bottom, 0, 0, right),
    5: lambda right, bottom: (0, 0, right, bottom),
    6: lambda right, bottom: (0, bottom, right, 0),
    7: lambda right, bottom: (right, bottom, 0, 0),
    8: lambda right, bottom: (right, 0, 0, bottom),
}


@dataclass(frozen=True)
class Upright:
    """A Pillow image of mode RGB or L that stands for one of height × width pixels. It may be smaller than that, and
    then fills `extent` of its own pixels, since the last of them may stick out of the image by a part."""

    image: Image.Image
    height: int
    width: int
    extent: Box

    @property
    def smallest_side(self) -> int:
        """Of the image that it stands for."""
        return min(self.height, self.width)

    def part(self, box: Box) -> Box:
        """A box of the image that it stands for, in its own pixels."""
        extent = self.extent
        rows, columns = extent.height / self.height, extent.width / self.width
        return Box(
            extent.top + box.top * rows,
            extent.left + box.left * columns,
            min(extent.top + box.bottom * rows, extent.bottom),
            min(extent.left + box.right * columns, extent.right),
        )


def whole(image: Image.Image, orientation: int = 1) -> Upright:
    """An image that stands for itself, turned from that EXIF orientation."""
    turned = _turned(image, orientation)
    return Upright(turned, turned.height, turned.width, Box(0.0, 0.0, float(turned.height), float(turned.width)))


def reduced(image: Image.Image, orientation: int, size: tuple[int, int], used: tuple[float, float]) -> Upright:
    """An image that stands for one of `size`, by so much of its pixels from the top left on, turned from that EXIF
    orientation; both (width, height)."""
    turned = _turned(image, orientation)
    top, left, bottom, right = _MARGINS[orientation](image.width - used[0], image.height - used[1])
    extent = Box(top, left, turned.height - bottom, turned.width - right)
    width, height = size if orientation < 5 else size[::-1]
    return Upright(turned, height, width, extent)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = _METHODS.get(orientation)
    return image if method is None else image.transpose(method)
