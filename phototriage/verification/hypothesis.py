"""One way in which an image may lie in another."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_SCALE, MOST_SCALE, MOST_STRETCH = 0.05, 20.0, 3.0
NO_INLIERS = np.empty((0, 2), np.int64)

Affine = NDArray[np.float64]  # (2, 3): (column, row) of A → (column, row) of B, in pixels of the grey copies


@dataclass(frozen=True)
class Hypothesis:
    """A way in which A may lie in B. `inliers` (M, 2): pairs of points that it brings together, by their numbers in
    both; none where it was not found by points."""

    affine: Affine
    inliers: NDArray[np.int64]
    mirrored: bool

    @property
    def by_points(self) -> bool:
        return len(self.inliers) > 0

    @property
    def scale(self) -> float:
        """Of lengths, from A to B."""
        return float(np.sqrt(abs(np.linalg.det(self.affine[:, :2]))))

    def inverse(self) -> Hypothesis:
        """The same, from B to A."""
        affine = cv2.invertAffineTransform(self.affine).astype(np.float64)
        return Hypothesis(affine, self.inliers[:, ::-1], self.mirrored)


def is_plausible(affine: Affine, mirrored: bool) -> bool:
    """Whether a photo may have undergone it: not too small, too large or too oblique, and mirrored or not as told."""
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    return bool(
        smallest > LEAST_SCALE
        and largest < MOST_SCALE
        and largest < MOST_STRETCH * smallest
        and (np.linalg.det(affine[:, :2]) < 0) == mirrored
    )
