"""What is compared in place of a photo: a small grey copy of it, and its points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.verification import keypoints
from phototriage.verification.keypoints import Keypoints

SIDE = 192  # of the grey copy, at most
LEAST_SIDE = 8


@dataclass(frozen=True)
class Signature:
    """`grey` uint8 (h, w), at most SIDE on a side, of a photo of `height` × `width` pixels; points in grey's pixels."""

    grey: NDArray[np.uint8]
    keypoints: Keypoints
    height: int
    width: int


def signature_of(pixels: NDArray[np.uint8]) -> Signature:
    """Of an upright photo uint8 (H, W, 3) RGB."""
    height, width = pixels.shape[:2]
    share = min(1.0, SIDE / max(height, width))
    size = max(LEAST_SIDE, round(width * share)), max(LEAST_SIDE, round(height * share))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    return Signature(grey, keypoints.find(grey), height, width)
