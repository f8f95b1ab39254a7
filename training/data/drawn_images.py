"""Pictures drawn from a seed: free inputs for golden vectors and for comparing torch with ONNX Runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def drawn_images(count: int, height: int, width: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """(count, height, width, channels) uint8: soft colour fields with a few shapes on them.

    Smooth on purpose: on noise, many ReLU units lie within rounding of their kinks, where two correct evaluations
    of the gradient differ.
    """
    drawn = np.stack([_draw(height, width, np.random.default_rng((seed, i))) for i in range(count)])
    if channels == 3:
        return drawn
    grey: NDArray[np.uint8] = drawn.mean(3, keepdims=True).astype(np.uint8)
    return grey


def _draw(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    field = rng.integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach = rng.uniform(0.05, 0.3) * min(height, width)
        box = (x - reach, y - reach * rng.uniform(0.5, 1), x + reach, y + reach)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return np.asarray(image)
