"""Resampling with antialiasing: a box of an image → an image of another size.

fast_image_resize does it, six times as fast as Pillow (`make bench-resamplers`), with the same kernels in arithmetic of
its own: a photo's pixels differ by a level here and there, beside hard edges by a dozen, since rows go first. Its
code for SSE4.1, AVX2 and NEON gives the same to the bit. Where it has no wheel, Pillow does it, as it does Hamming's
kernel, which the other lacks, and boxes that leave columns out: there version 4.0.1 drops weights of zero at the first
column's end, and may then read before the start of its memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from PIL import Image

from phototriage.images.box import Box

try:
    import cykooz_resizer as fast

    IS_FAST = True
except ImportError:  # Linux on ARM, musl
    IS_FAST = False

# Both axes are done one after another. A tall image for a wide input has a huge product if its columns go first, a
# wide image for a tall input if its rows do.
MAX_INTERMEDIATE_PIXELS = 16_000_000

_PILLOW: Mapping[str, Image.Resampling] = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_FAST = {"box": "box", "bilinear": "bilinear", "bicubic": "catmull_rom", "lanczos": "lanczos3"}


def resample(image: Image.Image, box: Box, rows: int, columns: int, kernel: str) -> Image.Image:
    """Resize the box of a loaded image of mode RGB or L to (rows, columns).

    kernel: box, bilinear, hamming, bicubic or lanczos, each widened by the scale where that is above 1.
    """
    columns_first, rows_first = columns * box.height, rows * box.width
    if max(columns_first, rows_first) > max(MAX_INTERMEDIATE_PIXELS, box.width * box.height):
        if rows_first < columns_first:
            image = _once(image, Box(box.top, 0, box.bottom, image.width), rows, image.width, kernel)
            box = Box(0, box.left, rows, box.right)
        else:
            image = _once(image, Box(0, box.left, image.height, box.right), image.height, columns, kernel)
            box = Box(box.top, 0, box.bottom, columns)
    return _once(image, box, rows, columns, kernel)


def _once(image: Image.Image, box: Box, rows: int, columns: int, kernel: str) -> Image.Image:
    if not IS_FAST or kernel not in _FAST or (box.left, box.right) != (0, image.width):
        return image.resize((columns, rows), _PILLOW[kernel], (box.left, box.top, box.right, box.bottom))
    algorithm = fast.ResizeAlg.convolution(fast.FilterType[_FAST[kernel]])
    options = fast.ResizeOptions(resize_alg=algorithm, use_alpha=False)
    if box != (0, 0, image.height, image.width):
        options.crop_box = fast.CropBox(0, box.top, image.width, _length(box.top, box.bottom, image.height))
    resized = Image.new(image.mode, (columns, rows))
    # A Resizer keeps its memory and isn't for several threads at once; a new one costs .01 ms.
    fast.Resizer().resize_pil(image, resized, options)
    return resized


def _length(start: float, stop: float, limit: int) -> float:
    """Of a side from start to stop. Rounding may carry their sum a hair past the limit, which would be refused."""
    length = stop - start
    while start + length > limit:
        length = math.nextafter(length, 0)
    return length
