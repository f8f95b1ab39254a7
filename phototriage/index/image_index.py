"""An index of embeddings in a folder, so that tomorrow's images are compared with today's.

    with ImageIndex.open(folder, model) as index:
        batch = index.begin("2026-03-01")
        for match in batch.add(names, vectors): ...
        batch.commit()

A batch is part of the index once it is committed, and leaves nothing behind if it isn't. The same batches in the same
order give the same answers, in however many calls their images are added, and however often a process was killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.index.batch import Batch, NearestMatch
from phototriage.index.folder import Description, IndexedModel, model_of
from phototriage.index.search import Neighbour, Queries, SearchCriteria
from phototriage.index.store import Store

__all__ = ["Batch", "ImageIndex", "IndexFolderError", "IndexedModel", "Info", "NearestMatch", "Neighbour", "model_of"]

if TYPE_CHECKING:
    from phototriage.models.embedder import Embedder

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Report = Callable[[str], None]

EXACT_ROWS = 100_000  # up to here an exact search is no slower than a graph (RESULTS.md)
STEP = 10_000  # rows that are added to a graph in one step; until then they are searched exactly


class Info(NamedTuple):
    """What an index holds. `replaced`: dead rows, whose name got another vector, until the next rebuild; `groups`:
    those of two or more images; `graph_rows`: how many rows the graph holds; `bytes`: on disk."""

    model: str
    version: str
    threshold: float
    images: int
    replaced: int
    groups: int
    batches: int
    segments: int
    graph_rows: int
    bytes: int


class ImageIndex:
    """One process at a time may write; any number may read what was committed when they opened it.

    Memory: about 500 bytes an image, and as much again for the graph, once there is one. Vectors are mapped from files,
    and are read again from there where memory is short.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batch: Batch | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        model: Embedder | IndexedModel,
        *,
        read_only: bool = False,
        exact: int = EXACT_ROWS,
        step: int = STEP,
        threads: int = 0,
        report: Report = lambda text: print(f"phototriage: {text}", file=sys.stderr),
    ) -> Self:
        """Open the index of a model's embeddings in `folder`; unless `read_only`, a new folder becomes an empty index.

        exact: rows from which on there is a graph; step: rows that are added to it in one step; an existing index keeps
        its own. threads: of a search in the graph; 0: one for each core. report: called with messages about long work
        and repairs. Raises IndexFolderError.
        """
        indexed_model = model if isinstance(model, IndexedModel) else IndexedModel.of(model.manifest)
        requested = Description(model=indexed_model, exact=exact, step=step)
        return cls(Store(folder, requested, read_only, threads, report))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write. What was not committed is gone."""
        self._store.close()

    def begin(self, batch_id: str) -> Batch:
        """Begin a batch. One whose name was committed gives the same answers again and adds nothing. An earlier batch
        that was not committed is dropped. Raises IndexFolderError if the index may only be read."""
        if self._batch is not None:
            self._batch.give_up()
        answers = self._store.answers_of(batch_id)
        if answers is None:
            self._store.prepare_to_write()
        self._batch = Batch(self._store, batch_id, answers)
        return self._batch

    def query(self, vectors: Floats, count: int = 1, own: Sequence[str] | None = None) -> list[list[Neighbour]]:
        """For each of `vectors` float32 (Q, D) the `count` most similar images, the most similar first. Adds nothing.

        own: the images' own names (Q,); no image is its own neighbour. Raises ValueError for vectors that can't be the
        model's.
        """
        if count < 1:
            raise ValueError(f"{count} neighbours were asked for; ask for 1 or more")
        store = self._store
        store.model.check(vectors)
        limits = np.full(len(vectors), len(store.rows), np.int64)
        own_rows = [store.rows.row_of.get(name, -1) for name in own] if own is not None else [-1] * len(vectors)
        if len(own_rows) != len(vectors):
            raise ValueError(f"{len(own_rows)} names came with {len(vectors)} vectors; each needs one")
        queries = Queries(vectors.astype(np.float32, copy=False), limits, np.array(own_rows, np.int64))
        return [
            [Neighbour(store.rows.names[row], float(value)) for row, value in zip(*neighbours.best(count), strict=True)]
            for neighbours in store.search(queries, SearchCriteria(count))
        ]

    def rebuild(self) -> None:
        """Write one segment of the living rows, and a new graph. Raises IndexFolderError if the index may only be
        read."""
        if self._batch is not None:
            self._batch.give_up()
            self._batch = None
        self._store.rebuild()

    def info(self) -> Info:
        """Counts and sizes, as of now."""
        store = self._store
        model, rows = store.model, len(store.rows)
        return Info(
            model=model.name,
            version=model.version,
            threshold=model.threshold,
            images=rows - len(store.rows.died_at),
            replaced=len(store.rows.died_at),
            groups=store.groups.duplicate_groups,
            batches=store.batches,
            segments=len(store.segments),
            graph_rows=store.graph.rows if store.graph is not None else 0,
            bytes=sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file()),
        )
