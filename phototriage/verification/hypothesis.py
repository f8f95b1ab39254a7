"""One way in which an image may lie in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
