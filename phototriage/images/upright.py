"""A decoded image, turned upright, which may have fewer pixels than the file's image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image

from phototriage.images.box import Box
from phototriage.images.headers import Frame

_METHODS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Margins at the right and bottom of the stored image → top, left, bottom and right margins of the upright one.
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
    """A Pillow image of mode RGB or L that represents an image of height × width pixels. It may have been decoded at a
    reduced size: then `extent` is the region of its own pixels that the represented image fills, since its last row and
    column may reach beyond that. `frame`: which picture of an animation it is, None where the file has no other."""

    image: Image.Image
    height: int
    width: int
    extent: Box
    frame: Frame | None = None

    @property
    def smallest_side(self) -> int:
        """Of the represented image, in pixels."""
        return min(self.height, self.width)

    def part(self, box: Box) -> Box:
        """Map a box of the represented image to this image's own pixels."""
        extent = self.extent
        rows, columns = extent.height / self.height, extent.width / self.width
        return Box(
            extent.top + box.top * rows,
            extent.left + box.left * columns,
            min(extent.top + box.bottom * rows, extent.bottom),
            min(extent.left + box.right * columns, extent.right),
        )


def whole(image: Image.Image, orientation: int = 1) -> Upright:
    """A stored image of that EXIF orientation, at its full size."""
    turned = _turned(image, orientation)
    return Upright(turned, turned.height, turned.width, Box(0.0, 0.0, float(turned.height), float(turned.width)))


def reduced(image: Image.Image, orientation: int, size: tuple[int, int], used: tuple[float, float]) -> Upright:
    """A stored image of that EXIF orientation, decoded at a reduced size. `size` is the stored image's, and `used` how
    much of the reduced one it fills, from the top left on; both (width, height)."""
    turned = _turned(image, orientation)
    top, left, bottom, right = _MARGINS[orientation](image.width - used[0], image.height - used[1])
    extent = Box(top, left, turned.height - bottom, turned.width - right)
    width, height = size if orientation < 5 else size[::-1]
    return Upright(turned, height, width, extent)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = _METHODS.get(orientation)
    return image if method is None else image.transpose(method)
