"""What is done to an image to make a copy of it, beside what `training.reposts` has: PIL images in and out."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageOps

from training.reposts import draw_everyday, repost

Rng = np.random.Generator
Edit = Callable[[Image.Image, Rng], Image.Image]

COPY_SIDE, COPY_QUALITY = 2 / 3, 45
UKBENCH_CROP = 0.25  # of the area
UKBENCH_TURN = 25  # degrees


def shrunk(image: Image.Image) -> Image.Image:
    """Two thirds of the size."""
    size = max(1, round(image.width * COPY_SIDE)), max(1, round(image.height * COPY_SIDE))
    return image.resize(size, Image.Resampling.BICUBIC)


def copied(image: Image.Image) -> Image.Image:
    """Two thirds of the size, and JPEG of quality 45, of an RGB image."""
    file = io.BytesIO()
    shrunk(image).save(file, "JPEG", quality=COPY_QUALITY)
    with Image.open(file) as copy:
        return copy.convert("RGB")


def everyday(image: Image.Image, rng: Rng) -> Image.Image:
    """One everyday repost of `training.reposts`, of an RGB image."""
    return repost(image, draw_everyday(rng))


def cut(image: Image.Image, area: float, rng: Rng) -> Image.Image:
    """A part of that share of the area, in the image's own proportions, at any place."""
    width, height = (max(1, round(side * area**0.5)) for side in image.size)
    left, top = round(rng.random() * (image.width - width)), round(rng.random() * (image.height - height))
    return image.crop((left, top, left + width, top + height))


def _turned(method: Image.Transpose) -> Edit:
    return lambda image, rng: image.transpose(method)


TURNS: Mapping[str, Edit] = {
    "turned by 90°": _turned(Image.Transpose.ROTATE_90),
    "turned by 180°": _turned(Image.Transpose.ROTATE_180),
    "turned by 270°": _turned(Image.Transpose.ROTATE_270),
    "upside down": _turned(Image.Transpose.FLIP_TOP_BOTTOM),
    "mirrored and turned by 90°": _turned(Image.Transpose.TRANSPOSE),
    "mirrored and turned by 270°": _turned(Image.Transpose.TRANSVERSE),
}
UKBENCH: Mapping[str, Edit] = {
    "crop": lambda image, rng: cut(image, UKBENCH_CROP, rng),
    "horizontal flip": lambda image, rng: ImageOps.mirror(image),
    "vertical flip": lambda image, rng: ImageOps.flip(image),
    "turn by 25°": lambda image, rng: image.rotate(UKBENCH_TURN, Image.Resampling.BICUBIC),
    "square": lambda image, rng: image.resize((min(image.size),) * 2, Image.Resampling.BICUBIC),
}
