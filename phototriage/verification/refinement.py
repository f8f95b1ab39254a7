"""A hypothesis made exact, by the pixels of both images: the affine transform that makes them correlate best nearby
(ECC: Evangelidis & Psarakis 2008).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.verification.hypothesis import Hypothesis, is_plausible
from phototriage.verification.signature import Signature

SIDE = 80  # pixels, to which both are reduced
STEPS, LEAST_GAIN = 20, 1e-3
SMOOTHING = 3  # pixels

Matrix = NDArray[np.float64]


def refined(a: Signature, b: Signature, hypothesis: Hypothesis) -> Hypothesis | None:
    """None where no transform nearby is better, or none that a photo may undergo."""
    small_a, from_a = _reduced(a.grey)
    small_b, from_b = _reduced(b.grey)
    between = from_b @ np.vstack([hypothesis.affine, [0, 0, 1]]) @ np.linalg.inv(from_a)
    start = np.linalg.inv(between)[:2].astype(np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, LEAST_GAIN)
    mask = np.full(small_a.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(small_b, small_a, start, cv2.MOTION_AFFINE, criteria, mask, SMOOTHING)
    except cv2.error:  # the two don't overlap, or don't correlate
        return None
    if not np.isfinite(found).all() or abs(np.linalg.det(found[:, :2])) < 1e-6:
        return None
    back = np.linalg.inv(np.vstack([found, [0, 0, 1]]))
    affine = (np.linalg.inv(from_b) @ back @ from_a)[:2]
    return (
        Hypothesis(affine, hypothesis.inliers, hypothesis.mirrored)
        if is_plausible(affine, hypothesis.mirrored)
        else None
    )


def _reduced(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Matrix]:
    """A smaller copy, and the transform (3, 3) of pixel centres to it."""
    share = min(1.0, SIDE / max(grey.shape))
    height, width = (max(4, round(side * share)) for side in grey.shape)
    by_row, by_column = height / grey.shape[0], width / grey.shape[1]
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, np.array([[by_column, 0, (by_column - 1) / 2], [0, by_row, (by_row - 1) / 2], [0, 0, 1]])
