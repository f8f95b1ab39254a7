"""The graph of a large collection, which grows in the background while the collection is asked and added to."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from threading import Condition, Event, Lock, Thread

import numpy as np
from numpy.typing import NDArray

from phototriage.collection_stores.vector_file import VectorFile
from phototriage.common.atomic_writes import PART
from phototriage.index import graph as graphs
from phototriage.index.graph import Graph

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

EXACT_ROWS = 100_000  # up to here an exact search is no slower than a graph (RESULTS.md)
STEP = 10_000  # rows that are searched exactly, at most, once the graph has caught up
AT_ONCE = 8  # rows: a search waits until they are in the graph
SAVED_AGAIN = 1.1  # times the rows that the saved graph has
MOST_DEAD = 0.01  # of the graph's rows, until it is built anew

logger = logging.getLogger(__name__)


class GraphView:
    """A graph as it was: rows that came into it since are left out, since they are searched exactly."""

    def __init__(self, graph: Graph) -> None:
        self.rows = graph.rows
        self._graph = graph

    def candidates(self, vectors: Floats) -> Indices:
        """As `search.CandidateGraph`."""
        return self._known(self._graph.candidates(vectors))

    def layout_candidates(self, layouts: Floats) -> Indices:
        """As `search.CandidateGraph`."""
        return self._known(self._graph.layout_candidates(layouts))

    def _known(self, rows: Indices) -> Indices:
        return np.where(rows < self.rows, rows, -1)


class GraphKeeper:
    """Keeps a graph of a collection's first rows, and its file.

    A graph holds a copy of each row's vector, one byte a number. So once a row of it has died, its file is removed, and
    none is written until the graph was built anew without that row: by `rebuild`, when one in a hundred rows has died,
    or when the collection is opened the next time. Meanwhile the rows that the new one lacks are searched exactly.
    """

    def __init__(
        self, folder: Path, parts: tuple[int, ...], vectors: VectorFile, exact: int = EXACT_ROWS, step: int = STEP
    ) -> None:
        self._folder, self._vectors = folder, vectors
        self._parts = graphs.parts_of(parts)
        self._exact, self._step = exact, step
        self._stopping = Event()
        self._lock, self._saving = Lock(), Lock()
        self._due = Condition()
        self._dead = 0  # rows of the graph that have died since it was built
        self._saved_rows = self._appending_to = 0
        self._graph = self._load()
        self._thread: Thread | None = None
        self.grow()

    def view(self) -> GraphView | None:
        """What is to be searched, if there is anything yet."""
        graph = self._graph
        return GraphView(graph) if graph is not None and graph.rows else None

    def grow(self) -> None:
        """Have the graph grow in the background, if it is due."""
        if self._target() <= self.rows or self._stopping.is_set() or not graphs.available():
            return
        with self._due:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="phototriage-graph", daemon=True)
                self._thread.start()
            self._due.notify_all()

    def forget(self, row: int) -> None:
        """A row has died."""
        with self._lock:
            if row >= max(self.rows, self._saved_rows, self._appending_to):
                return
            self._dead += 1
            self._remove_saved()
            too_many = self._dead > MOST_DEAD * self.rows
        if too_many:
            self.rebuild()

    def rebuild(self) -> None:
        """Have the graph built anew in the background, without what has died."""
        with self._lock:
            self._graph, self._dead, self._appending_to = None, 0, 0
            self._remove_saved()
        self.grow()

    def stop(self, save: bool = True) -> None:
        """End the background work, and save what there is."""
        self._stopping.set()
        with self._due:
            self._due.notify_all()
        if self._thread is not None:
            self._thread.join()
        if save:
            self._save()

    def wait(self, seconds: float) -> bool:
        """Wait until the graph has caught up; False if that took longer."""
        with self._due:
            return self._due.wait_for(lambda: self._target() <= self.rows, seconds)

    @property
    def rows(self) -> int:
        """How many rows are in the graph."""
        return 0 if self._graph is None else self._graph.rows

    def _target(self) -> int:
        """How many rows are to be in the graph."""
        count = len(self._vectors)
        return count // self._step * self._step if count >= self._exact else 0

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                with self._due:
                    self._due.wait_for(lambda: self._stopping.is_set() or self._target() > self.rows)
                self._catch_up()
                with self._due:
                    self._due.notify_all()
                if self.rows >= SAVED_AGAIN * self._saved_rows:
                    self._save()
        except Exception:
            # Searching goes on without a graph, exactly.
            logger.exception("The graph of %s could not be made", self._folder.name)
            self._graph = None
            self._stopping.set()

    def _catch_up(self) -> None:
        graph = self._graph
        if graph is None:
            graph = Graph(self._parts, self._step)
            self._graph = graph
        while graph.rows < self._target() and not self._stopping.is_set():
            if self._graph is not graph:
                return  # a new one is wanted
            rows = np.arange(graph.rows, min(graph.rows + AT_ONCE, self._target()))
            with self._lock:  # a row that dies from now on may be in the graph
                self._appending_to = int(rows[-1]) + 1
            graph.append(self._vectors.gather(rows))

    def _save(self) -> None:
        """Write the graph, unless a row of it has died."""
        try:
            with self._saving:
                self._save_alone()
        except OSError:  # the disk may have room again later: the graph itself is in memory
            logger.exception("The graph of %s could not be saved", self._folder.name)

    def _save_alone(self) -> None:
        with self._lock:
            graph = self._graph
            if graph is None or self._dead or graph.rows <= self._saved_rows:
                return
        rows = graph.rows
        graph.save(self._folder)
        with self._lock:
            self._saved_rows = rows
            if self._dead or self._graph is not graph:  # since it was begun
                self._remove_saved()
            else:
                graphs.remove_all_but(self._folder, rows)

    def _remove_saved(self) -> None:
        for folder in graphs.folders(self._folder):
            shutil.rmtree(folder, ignore_errors=True)
        self._saved_rows = 0

    def _load(self) -> Graph | None:
        """The saved graph, if it is whole and of these rows."""
        for unfinished in self._folder.glob(f"graph-*{PART}"):
            shutil.rmtree(unfinished, ignore_errors=True)
        if not graphs.available():
            return None
        for folder in reversed(graphs.folders(self._folder)):
            rows = graphs.rows_of(folder)
            found = None
            if rows <= len(self._vectors):
                found = Graph.load(folder, self._parts, self._step, view=False)
            if found is not None:
                self._saved_rows = rows
                return found
            shutil.rmtree(folder, ignore_errors=True)
        return None
