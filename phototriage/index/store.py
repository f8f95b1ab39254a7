"""An index folder and what of it is in memory: read, added to, searched, merged and made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.common.whole_folder import PART, whole_folder
from phototriage.index import graph as index_graph
from phototriage.index import segment as index_segment
from phototriage.index.compaction import compacted
from phototriage.index.folder import Description, describe, lock
from phototriage.index.graph import Graph
from phototriage.index.groups import Groups
from phototriage.index.rows import Rows
from phototriage.index.search import Asked, Near, Wanted, search
from phototriage.index.segment import Content, Segment

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

GENERATION = "generation-"
TOLD_STEPS = 10  # of the graph's, from one message to the next
READ_ATTEMPTS = 3  # while another process merges what is being read


class Store:
    """The rows, groups and graph of a folder. Rows and groups that were added since the last commit are in memory only.

    A folder holds a generation, which a rebuild replaces as a whole; that holds segments and the graph.
    """

    rows: Rows
    groups: Groups
    segments: list[Segment]

    def __init__(
        self, folder: Path, wanted: Description, read_only: bool, threads: int, report: Callable[[str], None]
    ) -> None:
        """Raises IndexFolderError."""
        self.folder, self.read_only = folder, read_only
        self._threads, self._report = threads, report
        self._lock: IO[str] | None = None
        self.graph: Graph | None = None
        self._saved = 0  # rows of the graph on disk
        self._told = False
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder)
        try:
            self._described = describe(folder, wanted, read_only)
            self.model = self._described.model
            if not read_only:
                self._tidy()
            self._read()
            self._at_open = len(self.rows)
            due = self._described.graph_rows(self._at_open)
            if read_only and due:
                self._load_graph(due)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self.read_only = True

    @property
    def batches(self) -> int:
        return sum(len(segment.record.batches) for segment in self.segments)

    def answers_of(self, batch_id: str) -> list[list[Any]] | None:
        """Of a batch that was committed."""
        for segment in self.segments:
            found = segment.answers_of(batch_id)
            if found is not None:
                return found
        return None

    def reset(self) -> None:
        """Back to what was committed."""
        if len(self.rows) > self._committed or self.rows.died.keys() - self._dead:
            self._read()
        if self.graph is not None and self.graph.rows > len(self.rows):
            self.graph = None

    def prepare_to_write(self) -> None:
        """Raises IndexFolderError if this store may only read."""
        self._check_writable()
        self.grow_graph()
        if len(self.rows) == self._committed:
            self._save_graph()

    def _check_writable(self) -> None:
        if self.read_only:
            raise IndexFolderError(f"The index {self.folder} was opened to read, or is closed. Open it to write.")

    def grow_graph(self) -> int:
        """Let the graph know the rows that it has to. Returns how many can be added before it has to know more."""
        count, step = len(self.rows), self._described.step
        due = self._described.graph_rows(count)
        if due and self.graph is None:
            self._load_graph(due)
        if due and self.graph is not None:
            steps = (due - self.graph.rows) // step
            told = self._tell_graph if steps > 1 else None
            self.graph.extend(due, lambda start, stop: self.rows.gather(np.arange(start, stop)), told)
        return (self._described.exact if count < self._described.exact else (count // step + 1) * step) - count

    def _tell_graph(self, rows: int) -> None:
        if rows % (TOLD_STEPS * self._described.step) == 0:
            self._report(f"{self.folder}: the graph knows {rows:,} of {len(self.rows):,} images")

    def search(self, asked: Asked, wanted: Wanted) -> list[Near]:
        return search(self.rows, asked, wanted, self.model.layout_rescoring, self.graph) if len(asked.vectors) else []

    def commit(self, content: Content) -> None:
        """Write a batch, whose rows and groups are in memory already."""
        self._check_writable()
        number = self.segments[-1].span[1] + 1 if self.segments else 1
        written = index_segment.write(self._place, (number, number), content)
        self.segments.append(index_segment.read(written))
        self._map_committed()

    def merge(self) -> None:
        """What is better done after a commit, and can be done after any other: fewer segments, the graph on disk."""
        small = index_segment.to_merge(self.segments)
        if small:
            merged = index_segment.merge(self._place, small)
            self.segments[-len(small) :] = [index_segment.read(merged)]
            index_segment.remove_leftovers(self._place)
            self._map_committed()
        self.prepare_to_write()

    def _map_committed(self) -> None:
        self.rows.map([segment.vectors for segment in self.segments])
        self._mark_committed()

    def rebuild(self) -> None:
        """A new generation: the living rows as one segment, and the graph."""
        self._check_writable()
        old = self._place
        new = self.folder / f"{GENERATION}{int(old.name.removeprefix(GENERATION)) + 1:08d}"
        with whole_folder(new) as part:
            if self.segments:
                index_segment.write(
                    part, (1, self.segments[-1].span[1]), compacted(self.rows, self.groups, self.segments)
                )
        shutil.rmtree(old)
        self.graph, self._at_open = None, 0
        self._read()
        self.prepare_to_write()

    def _generation(self) -> Path:
        """The folder of the last one."""
        found = sorted(path for path in self.folder.glob(f"{GENERATION}*") if path.suffix != PART)
        return found[-1] if found else self.folder / f"{GENERATION}{1:08d}"

    def _tidy(self) -> None:
        """Remove what a process left that was killed."""
        place = self._generation()
        for path in self.folder.glob(f"{GENERATION}*"):
            if path != place:
                shutil.rmtree(path)
        place.mkdir(exist_ok=True)
        index_segment.remove_leftovers(place)

    def _read(self) -> None:
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                self._place = place = self._generation()
                paths = index_segment.folders(place) if place.is_dir() else []
                self.segments = [index_segment.read(path) for path in paths]
                break
            except (OSError, IndexFolderError):
                # Another process may have merged what was being read.
                if not self.read_only or attempt == READ_ATTEMPTS:
                    raise
        self.rows, self.groups = Rows(self.model.dimension, self.folder), Groups()
        for segment in self.segments:
            labels = (segment.names[each] if isinstance(each, int) else each for each in segment.founded)
            self.groups.take(segment.groups.tolist(), labels)
            self.rows.take(segment.names, segment.vectors, segment.replaced)
        for row in self.rows.died:
            self.groups.leave(row)
        self._mark_committed()

    def _mark_committed(self) -> None:
        self._committed, self._dead = len(self.rows), set(self.rows.died)

    def _load_graph(self, due: int) -> None:
        """The largest graph of those on disk that is whole and not too large; else, to write to, an empty one."""
        if not index_graph.available():
            if not self._told:
                self._report(
                    f"{self.folder}: its {due:,} images are compared one by one, since usearch isn't installed: "
                    "pip install 'phototriage[index]'"
                )
            self._told = True
            return
        parts = index_graph.parts_of(self.model.parts)
        found = index_graph.folders(self._place) if self._place.is_dir() else []
        paths = [path for path in found if index_graph.rows_of(path) <= due]
        remedy = "so images are compared one by one; rebuild the index" if self.read_only else "and is built again"
        for path in reversed(paths):
            self.graph = Graph.load(path, parts, self._described.step, self._threads, view=self.read_only)
            if self.graph is not None:
                self._saved = self.graph.rows
                return
            self._report(f"{path} is damaged or of other settings, {remedy}")
            if not self.read_only:
                shutil.rmtree(path)
        if not paths and self._at_open >= due:
            self._report(f"{self.folder}: the graph of {due:,} images is missing, {remedy}")
        self.graph = None if self.read_only else Graph(parts, self._described.step, self._threads)
        self._saved = 0

    def _save_graph(self) -> None:
        if self.graph is not None and self.graph.rows > self._saved:
            self.graph.save(self._place)
            self._saved = self.graph.rows
            index_graph.remove_all_but(self._place, self._saved)
