"""An ensemble of small decision trees: numbers to log-odds. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Trees:
    """`nodes` of all trees lie in one row: (M,) each of feature int64, threshold float64, left and right int64, the
    places of what follows a value at most as large as the threshold, and a larger one. A leaf follows itself, and has
    a value float64 (M,), which an inner node doesn't use. roots int64 (T,): where each tree begins. depth: steps from a
    root to the farthest leaf."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    roots: NDArray[np.int64]
    depth: int
    base: float

    def log_odds(self, features: NDArray[np.float64]) -> float:
        """The base and the values of the leaves that `features` (F,) lead to."""
        place = self.roots
        for _ in range(self.depth):
            goes_left = features[self.feature[place]] <= self.threshold[place]
            place = np.where(goes_left, self.left[place], self.right[place])
        return self.base + float(self.value[place].sum())

    def check(self, features: int) -> None:
        """Raise ValueError unless these are trees on so many features, whose nodes lead to nodes."""
        count = len(self.value)
        columns = (self.feature, self.threshold, self.left, self.right)
        if any(column.shape != (count,) for column in columns) or self.roots.ndim != 1 or not 0 <= self.depth <= 64:
            raise ValueError("the trees' arrays don't fit together")
        for places, bound in ((self.feature, features), (self.left, count), (self.right, count), (self.roots, count)):
            if places.dtype != np.int64 or (len(places) and not 0 <= places.min() <= places.max() < bound):
                raise ValueError("the trees' nodes lead to nowhere")
        if not (np.isfinite(self.value).all() and np.isfinite(self.base) and not np.isnan(self.threshold).any()):
            raise ValueError("the trees' values aren't numbers")
