"""Ways in which one image may lie in another: by points that both have, or as a whole, turned or mirrored."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.verification.hypothesis import Affine, Hypothesis
from phototriage.verification.keypoints import matches
from phototriage.verification.signature import Signature

RATIO = 0.9
LEAST_INLIERS = 4  # an affine transform has six numbers, and three points give them
TOLERANCE = 4.0  # pixels of the grey copy
TRIALS, CONFIDENCE = 500, 0.99
LEAST_SCALE, MOST_SCALE, MOST_STRETCH = 0.05, 20.0, 3.0
THUMBNAIL = 32

_MIRROR = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])  # of the unit square
_QUARTER_TURN = np.array([[0.0, 1, 0], [-1, 0, 1], [0, 0, 1]])  # counter-clockwise, as np.rot90


def hypotheses(a: Signature, b: Signature) -> Iterator[Hypothesis]:
    """By points, as it is and mirrored, where these give any; and the best of the whole onto the whole."""
    for mirrored in (False, True):
        found = by_points(a, b, mirrored)
        if found is not None:
            yield found
    yield whole_to_whole(a, b)


def by_points(a: Signature, b: Signature, mirrored: bool) -> Hypothesis | None:
    """The affine transform that most matched points agree on (RANSAC). None if too few do, or none that a photo would
    undergo."""
    left = a.keypoints.mirrored() if mirrored else a.keypoints.descriptors
    pairs = matches(left, b.keypoints.descriptors, RATIO)
    if len(pairs) < LEAST_INLIERS:
        return None
    affine, marks = cv2.estimateAffine2D(
        a.keypoints.points[pairs[:, 0]],
        b.keypoints.points[pairs[:, 1]],
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


def is_plausible(affine: Affine, mirrored: bool) -> bool:
    """Whether a photo may have undergone it: not too small, too large or too oblique, and mirrored or not as told."""
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(
        smallest > LEAST_SCALE
        and largest < MOST_SCALE
        and largest < MOST_STRETCH * smallest
        and (np.linalg.det(affine[:, :2]) < 0) == mirrored
    )


def whole_to_whole(a: Signature, b: Signature) -> Hypothesis:
    """A stretched to B's frame, in the one of eight ways (quarter turns, mirrored or not) that agrees best."""
    small_a, small_b = (_thumbnail(each.grey) for each in (a, b))
    best, way = -2.0, (False, 0)
    for mirrored in (False, True):
        for turns in range(4):
            turned = np.rot90(small_a[:, ::-1] if mirrored else small_a, turns)
            agreement = float((turned * small_b).sum())
            if agreement > best + 1e-6:  # as it is, where there is no difference
                best, way = agreement, (mirrored, turns)
    mirrored, turns = way
    unit = np.linalg.matrix_power(_QUARTER_TURN, turns) @ (_MIRROR if mirrored else np.eye(3))
    (height_a, width_a), (height_b, width_b) = a.grey.shape, b.grey.shape
    # Pixel centres lie at whole numbers, so the frame goes from −.5 to size − .5.
    from_a = np.array([[1 / width_a, 0, 0.5 / width_a], [0, 1 / height_a, 0.5 / height_a], [0, 0, 1]])
    to_b = np.array([[width_b, 0, -0.5], [0, height_b, -0.5], [0, 0, 1.0]])
    affine = (to_b @ unit @ from_a)[:2]
    return Hypothesis(affine, np.empty((0, 2), np.int64), mirrored)


def _thumbnail(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of THUMBNAIL × THUMBNAIL, without its mean, of unit length; zeros of a plain image."""
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > 1 else np.zeros_like(small)
