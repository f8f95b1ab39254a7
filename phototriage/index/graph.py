"""Which rows of an index may be similar, by graphs that are walked: HNSW (arXiv 1603.09320) by usearch.

usearch (Apache-2.0) is optional: `pip install -e .[index]`. A graph holds its own coarse copy of the vectors, one byte
a number, so it takes memory of its own, and the vectors themselves stay on disk.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from phototriage.common.whole_folder import whole_folder
from phototriage.duplicates import layout
from phototriage.model_folder.manifest import sha256_of

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Vectors = Callable[[int, int], Floats]  # of the rows from one to before another

SHARED = 8  # queries from which on they are shared out among threads: to begin threads takes time, too
RECORD, SUFFIX = "graph.json", ".usearch"

_FOLDER = re.compile(r"graph-(\d{12})")


@dataclass(frozen=True)
class Part:
    """Columns that have a graph of their own: how it is built, how far it is searched, how many it names, and the type
    of its copy of them, f32, f16, bf16 or i8."""

    name: str
    columns: tuple[int, int]
    connectivity: int
    expansion_add: int
    expansion_search: int
    count: int
    mirrored: bool = False
    dtype: str = "i8"

    def empty(self) -> Any:
        first, last = self.columns
        return import_module("usearch.index").Index(
            ndim=last - first,
            metric="ip",
            dtype=self.dtype,
            connectivity=self.connectivity,
            expansion_add=self.expansion_add,
            expansion_search=self.expansion_search,
            enable_key_lookups=False,
        )


def parts_of(sizes: tuple[int, ...]) -> tuple[Part, ...]:
    """For an embedding of those parts. The settings are what RESULTS.md's table chose."""
    seen = Part("seen", (0, sizes[0]), connectivity=16, expansion_add=128, expansion_search=256, count=64)
    if len(sizes) == 1:
        return (seen,)
    columns = (sizes[0], sizes[0] + sizes[1])
    return seen, Part("placed", columns, 16, expansion_add=64, expansion_search=64, count=32, mirrored=True)


def available() -> bool:
    return find_spec("usearch") is not None


class Graph:
    """The first `rows` rows. Built by one thread a part, and begun anew from its own bytes at each step, since how
    usearch draws levels depends on what a process did before: so it is the same, however often a run was killed."""

    def __init__(self, parts: tuple[Part, ...], step: int, threads: int = 0) -> None:
        """threads: that search; 0: one for each core."""
        self.rows = 0
        self._parts, self._step, self._threads = parts, step, threads
        self._indexes = [part.empty() for part in parts]

    def extend(self, rows: int, vectors: Vectors, progress: Callable[[int], None] | None = None) -> None:
        """Take in all rows before `rows`, a multiple of the step."""
        with ThreadPoolExecutor(len(self._parts)) as pool:
            for start in range(self.rows, rows, self._step):
                taken = vectors(start, start + self._step)
                list(pool.map(lambda place, taken=taken, start=start: self._extend(place, start, taken), self._places))
                self.rows = start + self._step
                if progress is not None:
                    progress(self.rows)

    @property
    def _places(self) -> range:
        return range(len(self._parts))

    def _extend(self, place: int, start: int, taken: Floats) -> None:
        part = self._parts[place]
        values = np.ascontiguousarray(taken[:, slice(*part.columns)])
        # A plain surface has no layout, and is near nothing by it.
        real = np.flatnonzero(values.any(axis=1))
        fresh = part.empty()
        if start:
            content = self._indexes[place].save()
            self._indexes[place] = fresh  # so that the old one is gone before the new one takes its memory
            fresh.load(content)
            del content
        self._indexes[place] = fresh
        fresh.add(start + real, values[real], threads=1)

    def candidates(self, vectors: Floats) -> Indices:
        """(Q, n): rows that may be similar to each of `vectors` (Q, D); −1 where there are fewer."""
        return np.concatenate([self._candidates_of(place, vectors) for place in self._places], axis=1)

    def _candidates_of(self, place: int, vectors: Floats) -> Indices:
        part, index = self._parts[place], self._indexes[place]
        values = np.ascontiguousarray(vectors[:, slice(*part.columns)])
        if not part.mirrored:
            return self._nearest(index, part, values)
        found = self._nearest(index, part, np.concatenate([values, _mirrored(values)]))
        return np.concatenate([found[: len(values)], found[len(values) :]], axis=1)

    def _nearest(self, index: Any, part: Part, values: Floats) -> Indices:
        named: Indices = np.full((len(values), part.count), -1, np.int64)
        if len(index) and len(values):
            threads = self._threads if len(values) >= SHARED else 1
            matches = index.search(values, part.count, threads=threads)
            if len(values) == 1:
                named[0, : len(matches)] = matches.keys
            else:
                # Of rows with fewer matches the rest is filled up with anything.
                real = np.arange(matches.keys.shape[1]) < np.asarray(matches.counts)[:, None]
                named[:, : matches.keys.shape[1]][real] = matches.keys[real]
        return named

    @property
    def memory(self) -> int:
        """Bytes."""
        return sum(int(index.memory_usage) for index in self._indexes)

    def save(self, place: Path) -> None:
        """Into a folder of its own in `place`: all of it or nothing."""
        with whole_folder(place / f"graph-{self.rows:012d}") as folder:
            for part, index in zip(self._parts, self._indexes, strict=True):
                index.save(str(folder / (part.name + SUFFIX)))
            hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
            record = self._made_as() | {"files": hashes}
            (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="ascii")

    def _made_as(self) -> dict[str, object]:
        settings = [[part.name, part.dtype, part.connectivity, part.expansion_add] for part in self._parts]
        return {"rows": self.rows, "step": self._step, "usearch": version("usearch"), "parts": settings}

    @classmethod
    def load(cls, folder: Path, parts: tuple[Part, ...], step: int, threads: int = 0, *, view: bool) -> Self | None:
        """A graph that was saved, or None if a file is missing, damaged, or was made in another way. One that is viewed
        is mapped, and can't be extended."""
        graph = cls(parts, step, threads)
        graph.rows = rows_of(folder)
        try:
            record = json.loads((folder / RECORD).read_bytes())
            files = record.pop("files")
            if record != graph._made_as():
                return None
            for part, index in zip(parts, graph._indexes, strict=True):
                path = folder / (part.name + SUFFIX)
                if sha256_of(path) != files[path.name]:
                    return None
                (index.view if view else index.load)(str(path))
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError):
            return None
        return graph


def _mirrored(values: Floats) -> Floats:
    return np.concatenate([values[:, : layout.EVEN], -values[:, layout.EVEN :]], axis=1)


def folders(place: Path) -> list[Path]:
    """The graphs in `place`, the largest last."""
    return sorted(path for path in place.iterdir() if _FOLDER.fullmatch(path.name))


def rows_of(folder: Path) -> int:
    return int(folder.name.removeprefix("graph-"))


def remove_all_but(place: Path, rows: int) -> None:
    for folder in folders(place):
        if rows_of(folder) != rows:
            shutil.rmtree(folder)
