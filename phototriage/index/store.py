"""The store of an index: its folder, and its rows, groups and graph in memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from phototriage.common.atomic_writes import PART, atomic_folder
from phototriage.common.errors import IndexFolderError
from phototriage.index import graph as index_graph
from phototriage.index import segment as index_segment
from phototriage.index.compaction import compacted
from phototriage.index.folder import Description, lock, open_description
from phototriage.index.graph import Graph
from phototriage.index.groups import Groups
from phototriage.index.pair_verifier import PairVerifier
from phototriage.index.rows import Rows
from phototriage.index.search import NeighbourRows, Queries, SearchCriteria, search
from phototriage.index.segment import Content, Segment
from phototriage.verification.verifier import Verifier

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

GENERATION = "generation-"
REPORT_STEPS = 10  # steps of a growing graph from one message to the next
READ_ATTEMPTS = 3  # while another process merges what is being read


class Store:
    """The rows, groups and graph of an index folder. What was added since the last commit is in memory only.

    The folder holds one generation, a folder of segments and graphs, which a rebuild replaces as a whole.
    """

    rows: Rows
    groups: Groups
    segments: list[Segment]

    def __init__(
        self,
        folder: Path,
        requested: Description,
        read_only: bool,
        threads: int,
        report: Callable[[str], None],
        verifier: Verifier | None = None,
    ) -> None:
        """`verifier`: of an index that verifies, to add to it, and to verify what is asked for. Raises
        IndexFolderError."""
        self.folder, self.read_only = folder, read_only
        self._threads, self._report = threads, report
        self._lock: IO[str] | None = None
        self.graph: Graph | None = None
        self._saved_graph_rows = 0
        self._reported_missing = False
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder)
        try:
            self._description = open_description(folder, requested, read_only)
            self.model = self._description.model
            self.verifier = self._pair_verifier(requested, verifier)
            if not read_only:
                self._remove_leftovers()
            self._read()
            self._rows_at_open = len(self.rows)
            graph_rows = self._description.graph_rows(self._rows_at_open)
            if read_only and graph_rows:
                self._load_graph(graph_rows)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the lock. The store can't be written to any more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self.read_only = True

    def _pair_verifier(self, requested: Description, verifier: Verifier | None) -> PairVerifier | None:
        if self.model.min_probability is None:
            if requested.model.verifies:
                self._report(
                    f"{self.folder}: it was begun without verification, so similarities alone decide. To have its "
                    "duplicates verified, name a new folder, and score the images again to fill it"
                )
            return None
        return None if verifier is None else PairVerifier(verifier, self.model.min_probability, self._threads)

    def require_verifier(self) -> PairVerifier:
        """What verifies. Raises IndexFolderError if there is none."""
        if self.verifier is None:
            raise IndexFolderError(
                f"The index {self.folder} verifies its duplicates, and it was opened without a verifier. Open it with "
                f"the embedder {self.model.name!r}, which has one."
            )
        return self.verifier

    @property
    def batches(self) -> int:
        """How many batches were committed."""
        return sum(len(segment.record.batches) for segment in self.segments)

    def answers_of(self, batch_id: str) -> list[list[Any]] | None:
        """The answers of a committed batch, in order; None if there is no such batch."""
        for segment in self.segments:
            answers = segment.answers_of(batch_id)
            if answers is not None:
                return answers
        return None

    def reset(self) -> None:
        """Drop everything that was added since the last commit."""
        if len(self.rows) > self._committed_rows or self.rows.died_at.keys() - self._committed_dead:
            self._read()
        if self.graph is not None and self.graph.rows > len(self.rows):
            self.graph = None

    def prepare_to_write(self) -> None:
        """Grow the graph, and save it if nothing is uncommitted. Raises IndexFolderError if this store may only
        read."""
        self._check_writable()
        self.grow_graph()
        if len(self.rows) == self._committed_rows:
            self._save_graph()

    def _check_writable(self) -> None:
        if self.read_only:
            raise IndexFolderError(f"The index {self.folder} was opened to read, or is closed. Open it to write.")

    def grow_graph(self) -> int:
        """Add to the graph the rows that are due. Returns how many rows can be added before it has to grow again."""
        count, step = len(self.rows), self._description.step
        graph_rows = self._description.graph_rows(count)
        if graph_rows and self.graph is None:
            self._load_graph(graph_rows)
        if graph_rows and self.graph is not None:
            steps = (graph_rows - self.graph.rows) // step
            report_progress = self._report_graph if steps > 1 else None
            self.graph.extend(graph_rows, lambda start, stop: self.rows.gather(np.arange(start, stop)), report_progress)
        return (self._description.exact if count < self._description.exact else (count // step + 1) * step) - count

    def _report_graph(self, rows: int) -> None:
        if rows % (REPORT_STEPS * self._description.step) == 0:
            self._report(f"{self.folder}: the graph knows {rows:,} of {len(self.rows):,} images")

    def search(self, queries: Queries, criteria: SearchCriteria) -> list[NeighbourRows]:
        """The neighbours of each query, as `search.search`."""
        if not len(queries.vectors):
            return []
        return search(self.rows, queries, criteria, self.model.layout_rescoring, self.graph)

    def commit(self, content: Content) -> None:
        """Write a batch, whose rows and groups are in memory already. Raises IndexFolderError, OSError."""
        self._check_writable()
        number = self.segments[-1].span[1] + 1 if self.segments else 1
        written = index_segment.write(self._generation_folder, (number, number), content)
        self.segments.append(index_segment.read(written))
        self._map_committed()

    def merge(self) -> None:
        """Merge small segments and save the graph: work that follows a commit, and may as well follow a later one."""
        small_segments = index_segment.segments_to_merge(self.segments)
        if small_segments:
            merged = index_segment.merge(self._generation_folder, small_segments)
            self.segments[-len(small_segments) :] = [index_segment.read(merged)]
            index_segment.remove_leftovers(self._generation_folder)
            self._map_committed()
        self.prepare_to_write()

    def _map_committed(self) -> None:
        self.rows.replace_arrays([segment.vectors for segment in self.segments])
        self.rows.replace_signatures([each.signatures for each in self.segments if each.signatures is not None])
        self._mark_committed()

    def rebuild(self) -> None:
        """Write a new generation, of the living rows as one segment and their graph, and delete the old one."""
        self._check_writable()
        old = self._generation_folder
        new = self.folder / f"{GENERATION}{int(old.name.removeprefix(GENERATION)) + 1:08d}"
        with atomic_folder(new) as temporary:
            if self.segments:
                index_segment.write(
                    temporary, (1, self.segments[-1].span[1]), compacted(self.rows, self.groups, self.segments)
                )
        shutil.rmtree(old)
        self.graph, self._rows_at_open = None, 0
        self._read()
        self.prepare_to_write()

    def _last_generation(self) -> Path:
        """The folder of the last generation, which may not exist yet."""
        folders = sorted(path for path in self.folder.glob(f"{GENERATION}*") if path.suffix != PART)
        return folders[-1] if folders else self.folder / f"{GENERATION}{1:08d}"

    def _remove_leftovers(self) -> None:
        """Remove what a killed process left."""
        generation = self._last_generation()
        for path in self.folder.glob(f"{GENERATION}*"):
            if path != generation:
                shutil.rmtree(path)
        generation.mkdir(exist_ok=True)
        index_segment.remove_leftovers(generation)

    def _read(self) -> None:
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                self._generation_folder = generation = self._last_generation()
                paths = index_segment.folders(generation) if generation.is_dir() else []
                self.segments = [index_segment.read(path) for path in paths]
                break
            except (OSError, IndexFolderError):
                # Another process may have merged what was being read.
                if not self.read_only or attempt == READ_ATTEMPTS:
                    raise
        self.rows, self.groups = Rows(self.model.dimension, self.folder, self.model.verifies), Groups()
        for segment in self.segments:
            if (segment.signatures is not None) != self.model.verifies:
                raise IndexFolderError(
                    f"{segment.path} doesn't fit the index: one has signatures, and the other has none. Restore the "
                    "folder from a copy, or start a new index."
                )
            labels = (segment.names[label] if isinstance(label, int) else label for label in segment.group_labels)
            self.groups.append_segment(segment.groups.tolist(), labels)
            self.rows.append_segment(segment.names, segment.vectors, segment.replaced, segment.signatures)
        for row in self.rows.died_at:
            self.groups.remove(row)
        self._mark_committed()

    def _mark_committed(self) -> None:
        self._committed_rows, self._committed_dead = len(self.rows), set(self.rows.died_at)

    def _load_graph(self, graph_rows: int) -> None:
        """Load the largest graph on disk that is intact and has at most `graph_rows` rows. Without one, begin an empty
        graph if this store may write."""
        if not index_graph.available():
            if not self._reported_missing:
                self._report(
                    f"{self.folder}: its {graph_rows:,} images are compared one by one, since usearch isn't installed: "
                    "pip install 'phototriage[index]'"
                )
            self._reported_missing = True
            return
        parts = index_graph.parts_of(self.model.parts)
        folders = index_graph.folders(self._generation_folder) if self._generation_folder.is_dir() else []
        paths = [path for path in folders if index_graph.rows_of(path) <= graph_rows]
        remedy = "so images are compared one by one; rebuild the index" if self.read_only else "and is built again"
        for path in reversed(paths):
            self.graph = Graph.load(path, parts, self._description.step, self._threads, view=self.read_only)
            if self.graph is not None:
                self._saved_graph_rows = self.graph.rows
                return
            self._report(f"{path} is damaged or of other settings, {remedy}")
            if not self.read_only:
                shutil.rmtree(path)
        if not paths and self._rows_at_open >= graph_rows:
            self._report(f"{self.folder}: the graph of {graph_rows:,} images is missing, {remedy}")
        self.graph = None if self.read_only else Graph(parts, self._description.step, self._threads)
        self._saved_graph_rows = 0

    def _save_graph(self) -> None:
        if self.graph is not None and self.graph.rows > self._saved_graph_rows:
            self.graph.save(self._generation_folder)
            self._saved_graph_rows = self.graph.rows
            index_graph.remove_all_but(self._generation_folder, self._saved_graph_rows)
