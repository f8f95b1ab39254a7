"""Drawn photos for tests of verification: smooth noise with edges, different for each seed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def drawn_photo(seed: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """uint8 (height, width, 3) RGB: blobs of several sizes, and a few rectangles."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for size, weight in ((5, 0.3), (11, 0.6), (40, 1.0)):
        noise = rng.normal(size=(height, width, 3)).astype(np.float32)
        blurred = cv2.GaussianBlur(noise, (0, 0), size)
        image += weight * blurred / blurred.std()
    for _ in range(25):
        top, left = int(rng.integers(0, height - 20)), int(rng.integers(0, width - 20))
        tall, wide = (int(value) for value in rng.integers(10, 60, 2))
        image[top : top + tall, left : left + wide] += rng.normal(size=3) * 1.5
    image = (image - image.min()) / np.ptp(image)
    drawn: NDArray[np.uint8] = (255 * image).round().astype(np.uint8)
    return drawn
