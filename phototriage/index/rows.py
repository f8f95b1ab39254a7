"""The rows of an index: names in memory, vectors mapped from segments or waiting for their commit, dead rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from phototriage.verification.kept_signatures import KeptSignatures, SignatureFile

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

BLOCK = 2048  # rows


class Rows:
    """Rows are numbered from 0, and a row's number never changes. When a name gets another vector, its old row is dead.

    Memory: about 200 bytes a row, for its name. Vectors that wait for their commit are in unnamed files in the folder
    `spill`, which vanish with the process, or in memory without it. Signatures, where there are some, are on disk.
    """

    def __init__(self, dimension: int, spill: Path | None = None, signed: bool = False) -> None:
        """signed: rows have signatures."""
        self.dimension, self._spill = dimension, spill
        self._signatures = KeptSignatures(spill) if signed else None
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.died_at: dict[int, int] = {}  # by dead row: how many rows there were when it died
        self._arrays: list[Floats] = []
        self._starts: list[int] = []
        self._filled = 0  # rows in the last array, if it is one that `add` fills; else 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append_segment(
        self, names: Sequence[str], vectors: Floats, replaced: Indices, signatures: SignatureFile | None = None
    ) -> None:
        """Append a segment's rows, names (n), vectors (n, D) and perhaps signatures (n); the rows `replaced` are
        dead."""
        if self._signatures is not None and signatures is not None:
            self._signatures.append_file(signatures)
        self.replace_arrays([*self._arrays, vectors])
        self.names += names
        self.row_of.update(zip(names, range(self._count, self._count + len(names)), strict=True))
        self.died_at.update(dict.fromkeys(replaced.tolist(), 0))
        self._count += len(names)

    def add(self, name: str, vector: Floats, signature: bytes | None = None) -> int:
        """Append a row, `vector` (D,), and return its number. An earlier row of that name is dead from now on."""
        row = self._count
        if self._signatures is not None and signature is not None:
            self._signatures.add(signature)
        if not self._filled or self._filled == BLOCK:
            self._arrays.append(self._new_array())
            self._starts.append(row)
            self._filled = 0
        self._arrays[-1][self._filled] = vector
        self._filled += 1
        if name in self.row_of:
            self.died_at[self.row_of[name]] = row
        self.row_of[name] = row
        self.names.append(name)
        self._count += 1
        return row

    @property
    def is_signed(self) -> bool:
        """Whether rows have signatures."""
        return self._signatures is not None

    def signature(self, row: int) -> bytes:
        """Raises ValueError where rows have none."""
        if self._signatures is None:
            raise ValueError("these rows have no signatures")
        return self._signatures[row]

    def replace_signatures(self, files: Sequence[SignatureFile]) -> None:
        """As `replace_arrays`."""
        if self._signatures is not None:
            self._signatures.replace_files(files)

    def replace_arrays(self, arrays: Sequence[Floats]) -> None:
        """Read all vectors from these arrays (n, D) from now on; they hold the same rows in the same order."""
        self._arrays = [array for array in arrays if len(array)]
        self._starts = np.cumsum([0, *map(len, self._arrays)])[:-1].tolist()
        self._filled = 0

    def _new_array(self) -> Floats:
        shape = (BLOCK, self.dimension)
        if self._spill is None:
            return np.empty(shape, np.float32)
        with TemporaryFile(dir=self._spill) as file:
            # A full disk raises here; on first use of a mapped page it would end the process.
            os.posix_fallocate(file.fileno(), 0, BLOCK * self.dimension * 4)
            return np.memmap(file, np.float32, "w+", shape=shape).view(np.ndarray)

    def gather(self, rows: Indices) -> Floats:
        """The vectors (n, D) of `rows` (n,), in their order."""
        vectors = np.empty((len(rows), self.dimension), np.float32)
        array_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(array_of_row).tolist():
            is_in_array = array_of_row == number
            vectors[is_in_array] = self._arrays[number][rows[is_in_array] - self._starts[number]]
        return vectors

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        """The vectors of the rows from `start` to before `stop`, in blocks (n, D), each with its first row's number."""
        for first, array in zip(self._starts, self._arrays, strict=True):
            last = min(stop, first + len(array))
            for low in range(max(start, first), last, BLOCK):
                yield low, array[low - first : min(low + BLOCK, last) - first]

    def visible(self, rows: Indices, limits: Indices) -> NDArray[np.bool_]:
        """bool (n,): whether each of `rows` (n,) existed, and was alive, when there were `limits` (n,) rows."""
        is_visible = rows < limits
        if self.died_at:
            is_dead = np.isin(rows, np.fromiter(self.died_at, np.int64, len(self.died_at)))
            deaths = np.array([self.died_at[row] for row in rows[is_dead].tolist()], np.int64)
            is_visible[is_dead] &= deaths >= limits[is_dead]
        return is_visible
