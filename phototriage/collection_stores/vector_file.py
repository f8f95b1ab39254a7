"""The vectors of a collection's rows: a file that is mapped, so that memory holds no more of it than is used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.atomic_writes import atomic_file

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

CHUNK = 16_384  # rows that are mapped together
BLOCK = 2048  # rows that are compared together
BYTES = 4  # of a number


def stamp_of(path: Path) -> str:
    """By which a file is told from another one, and from itself at another time; empty where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


class VectorFile:
    """Rows are numbered from 0, and a row's number never changes. Those that were erased, or never written, are dead:
    zeros in the file.

    It is a copy of what a database holds, and is written anew from there where it may not be complete. One thread at a
    time may write; any number may read meanwhile.
    """

    def __init__(self, path: Path, dimension: int, living: Indices) -> None:
        """`living`: the rows that were written and not erased, of a complete file."""
        self.dimension = dimension
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._path = path
        self._chunks: list[Floats] = []
        self._count = int(living[-1]) + 1 if len(living) else 0
        self._living = np.zeros(max(CHUNK, self._count), np.bool_)
        self._living[living] = True
        self._map()

    @staticmethod
    def rewrite(path: Path, dimension: int, rows: Iterable[tuple[int, bytes]]) -> None:
        """Write the file anew from rows, ascending, and their vectors as bytes. Raises OSError."""
        size = dimension * BYTES
        with atomic_file(path) as part, part.open("wb") as file:
            for row, vector in rows:
                file.seek(row * size)  # what is passed over is zeros, and takes no room
                file.write(vector)

    def __len__(self) -> int:
        return self._count

    @property
    def living(self) -> int:
        """How many rows are."""
        return int(np.count_nonzero(self._living[: self._count]))

    def write(self, row: int, vector: Floats) -> None:
        """Raises OSError, for one where the disk is full."""
        os.pwrite(self._file, vector.astype("<f4").tobytes(), row * self.dimension * BYTES)
        if row >= len(self._living):
            grown = np.zeros(2 * row, np.bool_)
            grown[: len(self._living)] = self._living
            self._living = grown  # readers keep the array that they have
        self._living[row] = True
        if row >= self._count:
            self._map(row + 1)
            self._count = row + 1

    def erase(self, row: int) -> None:
        """Raises OSError."""
        self._living[row] = False
        os.pwrite(self._file, bytes(self.dimension * BYTES), row * self.dimension * BYTES)

    def sync(self) -> str:
        """Have what was written on the disk, and return the file's stamp. Raises OSError."""
        os.fsync(self._file)
        return stamp_of(self._path)

    def close(self) -> None:
        os.close(self._file)

    def gather(self, rows: Indices) -> Floats:
        """The vectors (n, D) of `rows` (n,), in their order."""
        vectors = np.empty((len(rows), self.dimension), np.float32)
        chunk_of_row = rows // CHUNK
        for number in np.unique(chunk_of_row).tolist():
            is_in_chunk = chunk_of_row == number
            vectors[is_in_chunk] = self._chunks[number][rows[is_in_chunk] - number * CHUNK]
        return vectors

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        """The vectors of the rows from `start` to before `stop`, in blocks (n, D), each with its first row's number."""
        low = start
        while low < stop:
            number = low // CHUNK
            high = min(low + BLOCK, stop, (number + 1) * CHUNK)
            if self._living[low:high].any():  # where many were replaced, most blocks hold nothing
                yield low, self._chunks[number][low - number * CHUNK : high - number * CHUNK]
            low = high

    def visible(self, rows: Indices, limits: Indices) -> NDArray[np.bool_]:
        """bool (n,): whether each of `rows` (n,) is below its limit (n,) and alive."""
        living: NDArray[np.bool_] = (rows < limits) & self._living[rows]
        return living

    def _map(self, rows: int | None = None) -> None:
        needed = -(-(self._count if rows is None else rows) // CHUNK)
        size = CHUNK * self.dimension * BYTES
        if needed > len(self._chunks):
            # Longer than what was written, so that it can be mapped; the rest takes no room.
            os.ftruncate(self._file, max(needed * size, os.fstat(self._file).st_size))
        for number in range(len(self._chunks), needed):
            mapped = np.memmap(self._path, "<f4", "r", number * size, (CHUNK, self.dimension))
            self._chunks.append(mapped.view(np.ndarray))
