"""Ways in which the whole of one image may lie in the other, as a crop does, found by sliding it over a small copy.

For images that have too few points for `registration`: line drawings, logos, sparse pages.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.verification.hypothesis import NO_INLIERS, Affine, Hypothesis
from phototriage.verification.signature import Signature

Grey = NDArray[np.uint8]

SIDE = 56  # pixels of the image that is slid over
SLID_SIDE = 96  # of the other one, from which it is reduced to each size
SHARES = (1.0, 0.93, 0.86, 0.8, 0.74, 0.68, 0.62, 0.57, 0.52)  # of its side, that the other one may fill
LEAST_SIDE = 10  # pixels of what is slid
SAME_PROPORTIONS = 1.04  # up to here it makes no difference which are kept


def containments(a: Signature, b: Signature) -> Iterator[Hypothesis]:
    """B in A and A in B, each with its own proportions and with those of the other's frame."""
    by_proportions = a.grey.shape[0] * b.grey.shape[1] / (a.grey.shape[1] * b.grey.shape[0])
    alike = max(by_proportions, 1 / by_proportions) < SAME_PROPORTIONS
    for keeps_proportions in (True,) if alike else (True, False):
        affine = _containment(a.grey, b.grey, keeps_proportions)
        if affine is not None:
            yield Hypothesis(affine, NO_INLIERS, False)
        affine = _containment(b.grey, a.grey, keeps_proportions)
        if affine is not None:
            yield Hypothesis(affine, NO_INLIERS, False).inverse()


def _containment(outer: Grey, inner: Grey, keeps_proportions: bool) -> Affine | None:
    """From the outer image to the inner one that correlates best with a part of it; None where it is too small."""
    searched, small = _reduced(outer, SIDE), _reduced(inner, SLID_SIDE)
    height, width = searched.shape
    best, place = -2.0, None
    for part in SHARES:
        rows, columns = round(height * part), round(width * part)
        if keeps_proportions:
            factor = min(height * part / inner.shape[0], width * part / inner.shape[1])
            rows, columns = round(inner.shape[0] * factor), round(inner.shape[1] * factor)
        if min(rows, columns) < LEAST_SIDE:
            break
        slid = cv2.resize(small, (columns, rows), interpolation=cv2.INTER_AREA)
        correlations = cv2.matchTemplate(searched, slid, cv2.TM_CCOEFF_NORMED)
        _, correlation, _, (left, top) = cv2.minMaxLoc(correlations)
        if correlation > best:
            best, place = correlation, (top, left, rows, columns)
    if place is None:
        return None
    top, left, rows, columns = place
    by_row, by_column = height / outer.shape[0], width / outer.shape[1]
    # Pixel centres lie at whole numbers, so an image's frame begins at −.5.
    down, across = inner.shape[0] / (rows / by_row), inner.shape[1] / (columns / by_column)
    offsets = (0.5 - left / by_column) * across - 0.5, (0.5 - top / by_row) * down - 0.5
    return np.array([[across, 0, offsets[0]], [0, down, offsets[1]]])


def _reduced(grey: Grey, side: int) -> Grey:
    share = min(1.0, side / max(grey.shape))
    height, width = (max(1, round(length * share)) for length in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
