"""Transparent images → opaque ones, on a ground that shows what is in them.

White is the ground, as in a browser. White drawings would be empty pages on it, all of them the same: where what is
visible hardly differs from white, the ground is a dark grey instead, on which white, pale and black show alike.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from phototriage.images.box import Box
from phototriage.images.resampling import resample

WHITE, DARK = 255, 64
# How far from white, in levels of luma, content has to be for white to show it. `docs/design/images.md` has the table.
MIN_DIFFERENCE = 16.0
_SIDE = 256  # the most pixels of a side of the copy that is looked at; models see about as many


def on_ground(image: Image.Image) -> Image.Image:
    """RGBA → RGB, LA → L, on white or, where white would hide what is visible, on dark grey."""
    mode = "L" if image.mode == "LA" else "RGB"
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert(mode)
    colours = image.convert(mode) if mode == "L" else image
    flat = Image.new(mode, image.size, "white")
    flat.paste(colours, mask=alpha)
    if difference_from_white(flat, alpha) < MIN_DIFFERENCE:
        # The same memory again: a canvas of 50 megapixels takes 150 MB.
        flat.paste((DARK,) * len(mode), (0, 0, *image.size))
        flat.paste(colours, mask=alpha)
    return flat


def difference_from_white(flat: Image.Image, alpha: Image.Image) -> float:
    """How far what is visible is from white, 0 to 255, given the image on white (RGB or L) and its alpha (L).

    The root of the mean square of 255 less luma, weighted by opacity squared, at no more than 256 pixels a side, about
    what a model sees. Content of one colour gives that colour's difference, however thin, blurred or translucent it is.
    An image without any visible content counts as black.
    """
    rows, columns = min(flat.height, _SIDE), min(flat.width, _SIDE)
    whole = Box(0.0, 0.0, float(flat.height), float(flat.width))
    luma = np.asarray(resample(flat, whole, rows, columns, "box").convert("L"), np.float32)
    opacity = np.asarray(resample(alpha, whole, rows, columns, "box"), np.float32) / 255
    visible = float(np.square(opacity).sum())
    # On white a pixel differs from white by its opacity times its colour's difference.
    return float(np.sqrt(np.square(255 - luma).sum() / visible)) if visible > 0 else 255.0
