"""All rows of an index in memory: names, vectors that are mapped from segments or wait for their commit, the dead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

BLOCK = 2048  # rows


class Rows:
    """Rows are numbered from 0 and never move. A row whose name got another vector is dead from then on.

    About 200 bytes a row, for its name. Vectors that wait for their commit are in files without a name in `spill`,
    which vanish with the process; without it, in memory.
    """

    def __init__(self, dimension: int, spill: Path | None = None) -> None:
        self.dimension, self._spill = dimension, spill
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.died: dict[int, int] = {}  # dead row: how many rows there were when it died
        self._arrays: list[Floats] = []
        self._starts: list[int] = []
        self._filled = 0  # rows of the last array, if it is one that rows are added to
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, names: Sequence[str], vectors: Floats, replaced: Indices) -> None:
        """Rows of a segment, behind those that are there."""
        self.map([*self._arrays, vectors])
        self.names += names
        self.row_of.update(zip(names, range(self._count, self._count + len(names)), strict=True))
        self.died.update(dict.fromkeys(replaced.tolist(), 0))
        self._count += len(names)

    def add(self, name: str, vector: Floats) -> int:
        """One more row; the one that had the name dies. Returns its number."""
        row = self._count
        if not self._filled or self._filled == BLOCK:
            self._arrays.append(self._room())
            self._starts.append(row)
            self._filled = 0
        self._arrays[-1][self._filled] = vector
        self._filled += 1
        if name in self.row_of:
            self.died[self.row_of[name]] = row
        self.row_of[name] = row
        self.names.append(name)
        self._count += 1
        return row

    def map(self, vectors: Sequence[Floats]) -> None:
        """All vectors are in these arrays (n, D) now, in their order."""
        self._arrays = [each for each in vectors if len(each)]
        self._starts = np.cumsum([0, *map(len, self._arrays)])[:-1].tolist()
        self._filled = 0

    def _room(self) -> Floats:
        shape = (BLOCK, self.dimension)
        if self._spill is None:
            return np.empty(shape, np.float32)
        with TemporaryFile(dir=self._spill) as file:
            # A full disk is told here; on a page that the map can't have, it would end the process.
            os.posix_fallocate(file.fileno(), 0, BLOCK * self.dimension * 4)
            return np.memmap(file, np.float32, "w+", shape=shape).view(np.ndarray)

    def gather(self, rows: Indices) -> Floats:
        """(n, D): the vectors of any rows."""
        found = np.empty((len(rows), self.dimension), np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for place in np.unique(owner).tolist():
            here = owner == place
            found[here] = self._arrays[place][rows[here] - self._starts[place]]
        return found

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        """All vectors from `start` on and before `stop`, in blocks, each with the number of its first row."""
        for first, array in zip(self._starts, self._arrays, strict=True):
            last = min(stop, first + len(array))
            for low in range(max(start, first), last, BLOCK):
                yield low, array[low - first : min(low + BLOCK, last) - first]

    def visible(self, rows: Indices, limits: Indices) -> NDArray[np.bool_]:
        """(n,): whether each row was there, and alive, when there were `limits` (n,) rows."""
        there = rows < limits
        if self.died:
            dead = np.isin(rows, np.fromiter(self.died, np.int64, len(self.died)))
            ends = np.array([self.died[row] for row in rows[dead].tolist()], np.int64)
            there[dead] &= ends >= limits[dead]
        return there
