"""An approximate search for the rows of an index that may be similar: HNSW graphs (arXiv 1603.09320) by usearch.

usearch (Apache-2.0) is optional: `pip install -e .[index]`. A graph holds its own quantised copy of the vectors, one
byte a number, in memory; the vectors themselves stay on disk.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from phototriage.common.atomic_writes import atomic_folder
from phototriage.duplicates import layout
from phototriage.model_folder.manifest import sha256_of

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Vectors = Callable[[int, int], Floats]  # from a first row and the row behind the last to their vectors (n, D)

MIN_THREADED_QUERIES = 8  # fewer are searched by one thread, since starting threads takes time
RECORD, SUFFIX = "graph.json", ".usearch"

_FOLDER = re.compile(r"graph-(\d{12})")


@dataclass(frozen=True)
class GraphPart:
    """Columns of an embedding that have an HNSW graph of their own, and its settings. `count`: candidates that it
    gives; `mirrored`: whether queries are searched mirrored too; `dtype` of its copy of the columns: f32, f16, bf16 or
    i8."""

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


def parts_of(sizes: tuple[int, ...]) -> tuple[GraphPart, ...]:
    """The graphs of an embedding whose parts have `sizes` columns. RESULTS.md has the measurements of the settings."""
    # These names are on disk.
    content = GraphPart("seen", (0, sizes[0]), connectivity=16, expansion_add=128, expansion_search=256, count=64)
    if len(sizes) == 1:
        return (content,)
    columns = (sizes[0], sizes[0] + sizes[1])
    return content, GraphPart("placed", columns, 16, expansion_add=64, expansion_search=64, count=32, mirrored=True)


def available() -> bool:
    """Whether usearch is installed."""
    return find_spec("usearch") is not None


class Graph:
    """The graphs of an index's first `rows` rows, one for each part of its embeddings.

    Deterministic: each is built by one thread, and reloaded from its own bytes before each step, since the levels that
    usearch draws depend on what the process did before. So a run gives the same graph however often it was killed.
    """

    def __init__(self, parts: tuple[GraphPart, ...], step: int, threads: int = 0) -> None:
        """threads: of a search; 0: one for each core."""
        self.rows = 0
        self._parts, self._step, self._threads = parts, step, threads
        self._indexes = [part.empty() for part in parts]
        self._lock = Lock()  # usearch bears one call at a time

    def append(self, block: Floats) -> None:
        """Add the next rows, (n, D), in place, while others search: quicker than `extend`, and another graph each
        time."""
        for number, part in enumerate(self._parts):
            values = np.ascontiguousarray(block[:, slice(*part.columns)])
            filled = np.flatnonzero(values.any(axis=1))
            with self._lock:
                self._indexes[number].add(self.rows + filled, values[filled], threads=1)
        self.rows += len(block)

    def extend(self, rows: int, vectors: Vectors, progress: Callable[[int], None] | None = None) -> None:
        """Add all rows before `rows`, a multiple of the step; after each step call `progress` with the number of
        rows."""
        with ThreadPoolExecutor(len(self._parts)) as pool:
            for start in range(self.rows, rows, self._step):
                block = vectors(start, start + self._step)
                list(pool.map(partial(self._extend_part, start=start, block=block), self._part_numbers))
                self.rows = start + self._step
                if progress is not None:
                    progress(self.rows)

    @property
    def _part_numbers(self) -> range:
        return range(len(self._parts))

    def _extend_part(self, number: int, start: int, block: Floats) -> None:
        part = self._parts[number]
        values = np.ascontiguousarray(block[:, slice(*part.columns)])
        # A plain surface has no layout: its columns are all zero, and it has no neighbours by them.
        filled = np.flatnonzero(values.any(axis=1))
        new = part.empty()
        if start:
            content = self._indexes[number].save()
            self._indexes[number] = new  # frees the old one before the new one is loaded
            new.load(content)
            del content
        self._indexes[number] = new
        new.add(start + filled, values[filled], threads=1)

    def candidates(self, vectors: Floats) -> Indices:
        """int64 (Q, n): rows that may be similar to each of `vectors` (Q, D); −1 where there are fewer."""
        return np.concatenate([self._candidates_of(number, vectors) for number in self._part_numbers], axis=1)

    def layout_candidates(self, layouts: Floats) -> Indices:
        """int64 (Q, n): rows whose layout may agree with each of `layouts` (Q, d); −1 where there are fewer. For a
        graph whose last part is the layout."""
        return self._candidates_by(len(self._parts) - 1, layouts)

    def _candidates_of(self, number: int, vectors: Floats) -> Indices:
        return self._candidates_by(number, np.ascontiguousarray(vectors[:, slice(*self._parts[number].columns)]))

    def _candidates_by(self, number: int, values: Floats) -> Indices:
        part, index = self._parts[number], self._indexes[number]
        if not part.mirrored:
            return self._nearest(index, part, values)
        rows = self._nearest(index, part, np.concatenate([values, layout.mirrored(values)]))
        return np.concatenate([rows[: len(values)], rows[len(values) :]], axis=1)

    def _nearest(self, index: Any, part: GraphPart, values: Floats) -> Indices:
        candidates: Indices = np.full((len(values), part.count), -1, np.int64)
        if len(index) and len(values):
            threads = self._threads if len(values) >= MIN_THREADED_QUERIES else 1
            with self._lock:
                matches = index.search(values, part.count, threads=threads)
            if len(values) == 1:
                candidates[0, : len(matches)] = matches.keys
            else:
                # Where a query has fewer matches than asked for, the rest of its row is not initialised.
                is_filled = np.arange(matches.keys.shape[1]) < np.asarray(matches.counts)[:, None]
                candidates[:, : matches.keys.shape[1]][is_filled] = matches.keys[is_filled]
        return candidates

    @property
    def memory(self) -> int:
        """Bytes of memory."""
        return sum(int(index.memory_usage) for index in self._indexes)

    def save(self, generation: Path) -> None:
        """Save into a folder of its own in the folder `generation`: all of it or nothing."""
        with atomic_folder(generation / f"graph-{self.rows:012d}") as folder:
            for part, index in zip(self._parts, self._indexes, strict=True):
                index.save(str(folder / (part.name + SUFFIX)))
            hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
            record = self._settings() | {"files": hashes}
            (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="ascii")

    def _settings(self) -> dict[str, object]:
        settings = [[part.name, part.dtype, part.connectivity, part.expansion_add] for part in self._parts]
        return {"rows": self.rows, "step": self._step, "usearch": version("usearch"), "parts": settings}

    @classmethod
    def load(
        cls, folder: Path, parts: tuple[GraphPart, ...], step: int, threads: int = 0, *, view: bool
    ) -> Self | None:
        """A saved graph, or None if a file is missing or damaged, or has other settings. view: map the files instead of
        loading them; the graph can't be extended then."""
        graph = cls(parts, step, threads)
        graph.rows = rows_of(folder)
        try:
            record = json.loads((folder / RECORD).read_bytes())
            files = record.pop("files")
            if record != graph._settings():
                return None
            for part, index in zip(parts, graph._indexes, strict=True):
                path = folder / (part.name + SUFFIX)
                if sha256_of(path) != files[path.name]:
                    return None
                (index.view if view else index.load)(str(path))
        except (OSError, ValueError, KeyError, AttributeError, RuntimeError):
            return None
        return graph


def folders(generation: Path) -> list[Path]:
    """The folders of saved graphs in `generation`, the largest last."""
    return sorted(path for path in generation.iterdir() if _FOLDER.fullmatch(path.name))


def rows_of(folder: Path) -> int:
    """How many rows a saved graph has, by its folder's name."""
    return int(folder.name.removeprefix("graph-"))


def remove_all_but(generation: Path, rows: int) -> None:
    """Remove the saved graphs of any other number of rows."""
    for folder in folders(generation):
        if rows_of(folder) != rows:
            shutil.rmtree(folder)
