"""Points of an image that are found again in its copies, and what each looks like: SIFT (Lowe 2004), as RootSIFT
(Arandjelović & Zisserman 2012).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MOST = 200  # of an image, the strongest
LEAST_CONTRAST = 0.015  # a third of the usual: walls and skies have few points otherwise
MOST_EDGE = 12
# A histogram of 8 directions for each of 4×4 cells. Seen in a mirror, the rows of cells change places, since the
# point's own direction is an axis of the grid, and so do turns to the left and to the right.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class Keypoints(NamedTuple):
    """`points` float32 (N, 2), (column, row) of each in pixels; `descriptors` float32 (N, 128), of unit length."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    def mirrored(self) -> NDArray[np.float32]:
        """The descriptors that the points would have in the mirrored image."""
        return self.descriptors[:, MIRRORED]


def find(grey: NDArray[np.uint8]) -> Keypoints:
    """Points of a grey image uint8 (H, W); none where there is nothing to see."""
    detector = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=LEAST_CONTRAST, edgeThreshold=MOST_EDGE)
    found, descriptors = detector.detectAndCompute(grey, None)
    if descriptors is None:
        return Keypoints(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
    points = np.array([point.pt for point in found], np.float32)
    sums = descriptors.sum(axis=1, keepdims=True)
    return Keypoints(points, np.sqrt(descriptors / np.maximum(sums, 1e-6)))


def matches(left: NDArray[np.float32], right: NDArray[np.float32], ratio: float) -> NDArray[np.int64]:
    """Pairs (M, 2) of descriptors, each of which is the other's nearest, and nearer by `ratio` than the second."""
    if len(left) < 2 or len(right) < 2:
        return np.empty((0, 2), np.int64)
    products = left @ right.T
    nearest = products.argmax(axis=1)
    rows = np.arange(len(left))
    mutual = products.argmax(axis=0)[nearest] == rows
    best = products[rows, nearest].copy()
    products[rows, nearest] = -1
    # Squared distances of unit vectors are 2 − 2 · product.
    distinct = 1 - best < ratio**2 * (1 - products.max(axis=1))
    chosen = np.flatnonzero(mutual & distinct)
    return np.stack([chosen, nearest[chosen]], axis=1)
