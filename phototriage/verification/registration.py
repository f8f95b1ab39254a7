"""Ways in which one image may lie in another: by points that both have, or as a whole, turned or mirrored."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.images.box import Box
from phototriage.verification.hypothesis import NO_INLIERS, Hypothesis, is_plausible
from phototriage.verification.keypoints import matches
from phototriage.verification.signature import Signature

RATIO = 0.9
LEAST_INLIERS = 4  # an affine transform has six numbers, and three points give them
TOLERANCE = 4.0  # pixels of the grey copy that shows the photo larger
REDUCED = 0.7  # a scale, up to which A counts as larger
TRIALS, CONFIDENCE = 500, 0.99
THUMBNAIL = 32
LEAST_CONTENT = 0.02  # of an image's area, inside plain borders

Points = NDArray[np.float32]

_MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])  # of the unit square
_QUARTER_TURN = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]])  # counter-clockwise, as np.rot90


def by_points(a: Signature, b: Signature, mirrored: bool) -> Hypothesis | None:
    """The affine transform that most matched points agree on (RANSAC). None if too few do, or none that a photo would
    undergo."""
    left = a.keypoints.mirrored() if mirrored else a.keypoints.descriptors
    pairs = matches(left, b.keypoints.descriptors, RATIO)
    if len(pairs) < LEAST_INLIERS:
        return None
    found = _agreed(a.keypoints.points, b.keypoints.points, pairs, mirrored)
    if found is None or found.scale > REDUCED:
        return found
    # A few pixels of B are many of a larger A: there, so many points agree on a wrong transform too.
    back = _agreed(b.keypoints.points, a.keypoints.points, pairs[:, ::-1], mirrored)
    return None if back is None else back.inverse()


def _agreed(left: Points, right: Points, pairs: NDArray[np.int64], mirrored: bool) -> Hypothesis | None:
    """From left to right, within TOLERANCE there."""
    affine, marks = cv2.estimateAffine2D(
        left[pairs[:, 0]],
        right[pairs[:, 1]],
        method=cv2.RANSAC,
        ransacReprojThreshold=TOLERANCE,
        maxIters=TRIALS,
        confidence=CONFIDENCE,
    )
    if affine is None:
        return None
    inliers = pairs[marks.ravel() > 0]
    if len(inliers) < LEAST_INLIERS or not is_plausible(affine.astype(np.float64), mirrored):
        return None
    return Hypothesis(affine.astype(np.float64), inliers, mirrored)


def wholes(a: Signature, b: Signature) -> Iterator[Hypothesis]:
    """All of A onto all of B; and the same without their plain borders, where any has some."""
    frames = _frame(a), _frame(b)
    yield _stretched(a, b, *frames)
    if (a.content_box is not None or b.content_box is not None) and _is_large(a) and _is_large(b):
        yield _stretched(a, b, a.content_box or frames[0], b.content_box or frames[1])


def _is_large(signature: Signature) -> bool:
    """Whether what is inside plain borders is enough to be laid over another image."""
    box = signature.content_box
    return box is None or box.height * box.width >= LEAST_CONTENT * signature.grey.size


def _frame(signature: Signature) -> Box:
    height, width = signature.grey.shape
    return Box(0.0, 0.0, float(height), float(width))


def _stretched(a: Signature, b: Signature, part_of_a: Box, part_of_b: Box) -> Hypothesis:
    """A part of A stretched to one of B, in the one of eight ways (quarter turns, mirrored or not) that agrees best."""
    small_a, small_b = _thumbnail(a.grey, part_of_a), _thumbnail(b.grey, part_of_b)
    best, way = -2.0, (False, 0)
    for mirrored in (False, True):
        for turns in range(4):
            turned = np.rot90(small_a[:, ::-1] if mirrored else small_a, turns)
            agreement = float((turned * small_b).sum())
            if agreement > best + 1e-6:  # as it is, where there is no difference
                best, way = agreement, (mirrored, turns)
    mirrored, turns = way
    unit = np.linalg.matrix_power(_QUARTER_TURN, turns) @ (_MIRROR if mirrored else np.eye(3))
    affine = (_from_unit(part_of_b) @ unit @ np.linalg.inv(_from_unit(part_of_a)))[:2]
    return Hypothesis(affine, NO_INLIERS, mirrored)


def _from_unit(part: Box) -> NDArray[np.float64]:
    """From the unit square to a part of an image. Pixel centres lie at whole numbers, so pixels begin at −.5."""
    return np.array([[part.width, 0, part.left - 0.5], [0, part.height, part.top - 0.5], [0, 0, 1.0]])


def _thumbnail(grey: NDArray[np.uint8], part: Box) -> NDArray[np.float64]:
    """Of THUMBNAIL × THUMBNAIL, without its mean, of unit length; zeros of a plain image."""
    top, left, bottom, right = (round(edge) for edge in (part.top, part.left, part.bottom, part.right))
    shown = grey[top : max(bottom, top + 1), left : max(right, left + 1)]
    small = cv2.resize(shown, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > 1 else np.zeros_like(small)
