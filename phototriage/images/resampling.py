"""Resampling with antialiasing: a box of an image → an image of another size.

fast_image_resize is six times as fast as Pillow (`make bench-resamplers`). It has the same kernels in another
arithmetic, and resizes rows first: some of a photo's pixels differ by one level, and by a dozen beside hard edges. Its
code for SSE4.1, AVX2 and NEON gives the same bits. Pillow is used where fast_image_resize has no wheel, for Hamming's
kernel, which it lacks, and for boxes that leave columns out: there its version 4.0.1 drops weights of zero at the end
of the first column, and may then read before the start of its memory.
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

# The axes are resized one after the other. A tall image for a wide input has a huge intermediate image if its columns
# are resized first, a wide image for a tall input if its rows are.
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
            image = _resize_box(image, Box(box.top, 0, box.bottom, image.width), rows, image.width, kernel)
            box = Box(0, box.left, rows, box.right)
        else:
            image = _resize_box(image, Box(0, box.left, image.height, box.right), image.height, columns, kernel)
            box = Box(box.top, 0, box.bottom, columns)
    return _resize_box(image, box, rows, columns, kernel)


def _resize_box(image: Image.Image, box: Box, rows: int, columns: int, kernel: str) -> Image.Image:
    """Resize both axes in one call of the faster library that can."""
    if not IS_FAST or kernel not in _FAST or (box.left, box.right) != (0, image.width):
        return image.resize((columns, rows), _PILLOW[kernel], (box.left, box.top, box.right, box.bottom))
    algorithm = fast.ResizeAlg.convolution(fast.FilterType[_FAST[kernel]])
    options = fast.ResizeOptions(resize_alg=algorithm, use_alpha=False)
    if box != (0, 0, image.height, image.width):
        options.crop_box = fast.CropBox(0, box.top, image.width, _length(box.top, box.bottom, image.height))
    resized = Image.new(image.mode, (columns, rows))
    # A Resizer keeps its buffers and isn't thread-safe; a new one costs 0.01 ms.
    fast.Resizer().resize_pil(image, resized, options)
    return resized


def _length(start: float, stop: float, limit: int) -> float:
    """The length from start to stop, such that start + length is at most the limit in spite of rounding."""
    length = stop - start
    while start + length > limit:
        length = math.nextafter(length, 0)
    return length
