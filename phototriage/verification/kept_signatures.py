"""The signatures of very many photos, on disk: each is read when it is asked for."""

from __future__ import annotations

import os
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SignatureFile:
    """Signatures one behind another. `content` uint8 (bytes,) and `ends` int64 (n,), the place behind each one, are
    mapped, not loaded."""

    content: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        start = int(self.ends[number - 1]) if number else 0
        return self.content[start : int(self.ends[number])].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))


def write(signatures: Iterable[bytes], content: Path, ends: Path) -> None:
    """Write two files that `read` takes. Raises OSError."""
    places = array("q")
    with content.open("wb") as file:
        for signature in signatures:
            file.write(signature)
            places.append(file.tell())
    np.save(ends, np.frombuffer(places, np.int64))


def read(content: Path, ends: Path) -> SignatureFile:
    """Raises OSError, and ValueError where the two don't fit together."""
    places = np.load(ends, mmap_mode="r")
    size = content.stat().st_size
    if places.ndim != 1 or places.dtype != np.int64 or (int(places[-1]) if len(places) else 0) != size:
        raise ValueError(f"{ends.name} doesn't tell where the signatures in {content.name} end")
    mapped = np.memmap(content, np.uint8, "r") if size else np.empty(0, np.uint8)
    return SignatureFile(mapped.view(np.ndarray), places.view(np.ndarray))


class KeptSignatures:
    """The signatures of rows numbered from 0: in files, and those added since in an unnamed file in the folder `spill`,
    which vanishes with the process. Threads may read side by side."""

    def __init__(self, spill: Path | None = None) -> None:
        self._spill = spill
        self._added: IO[bytes] | None = None  # made when it is needed: a reader's folder may be read-only
        self.replace_files(())

    def __len__(self) -> int:
        return int(self._first_added) + len(self._ends)

    def __getitem__(self, row: int) -> bytes:
        if row < self._first_added:
            number = bisect_right(self._starts, row) - 1
            return self._files[number][row - self._starts[number]]
        if self._added is None:
            raise IndexError(row)
        place = row - self._first_added
        start = self._ends[place - 1] if place else 0
        return os.pread(self._added.fileno(), self._ends[place] - start, start)

    def replace_files(self, files: Sequence[SignatureFile]) -> None:
        """Read all signatures from these files from now on; they hold those of the same rows in the same order."""
        self._files = [file for file in files if len(file)]
        edges = np.cumsum([0, *map(len, self._files)]).tolist()
        self._starts, self._first_added = edges[:-1], edges[-1]
        self._ends = array("q")  # in the file of those added since
        if self._added is not None:
            self._added.close()
            self._added = None

    def append_file(self, file: SignatureFile) -> None:
        """Append the signatures of a file. None may have been added."""
        self.replace_files([*self._files, file])

    def add(self, signature: bytes) -> None:
        """Append the signature of the next row. Raises OSError."""
        if self._added is None:
            self._added = TemporaryFile(dir=self._spill)  # noqa: SIM115 — closed with this object
            weakref.finalize(self, self._added.close)
        self._added.write(signature)
        self._added.flush()  # a full disk raises here
        self._ends.append((self._ends[-1] if self._ends else 0) + len(signature))
