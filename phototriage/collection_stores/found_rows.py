"""Rows that a database has named as candidates, with their vectors in memory, to be compared exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class FoundRows:
    """Vectors float32 (n, D), numbered from 0, to be searched."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors

    def gather(self, rows: Indices) -> Floats:
        return self._vectors[rows]

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        if start < stop:
            yield start, self._vectors[start:stop]

    def visible(self, rows: Indices, limits: Indices) -> NDArray[np.bool_]:
        """All are."""
        return rows < limits
