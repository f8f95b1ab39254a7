"""A folder of all embeddings seen so far, so that tomorrow's images are compared with today's.

    with ImageIndex.open(folder, model) as index:
        batch = index.begin("2026-03-01")
        for each in batch.add(names, vectors): ...
        batch.commit()

A batch is there when it is committed, and leaves nothing behind if it isn't. The same batches in the same order give
the same answers, in whatever pieces their images come, and however often a process was killed.
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
from phototriage.index.search import Asked, Neighbour, Wanted
from phototriage.index.store import Store

__all__ = ["Batch", "ImageIndex", "IndexFolderError", "IndexedModel", "Info", "NearestMatch", "Neighbour", "model_of"]

if TYPE_CHECKING:
    from phototriage.models.embedder import Embedder

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Report = Callable[[str], None]

EXACT_ROWS = 100_000  # up to which comparing with all takes no longer than a graph (RESULTS.md)
STEP = 10_000  # rows that a graph takes in at once; until then they are compared one by one


class Info(NamedTuple):
    """What an index holds. `replaced`: rows whose name got another vector since, until the next rebuild; `groups`:
    those of two images or more; `graph_rows`: how many rows the graph knows; `bytes`: on disk."""

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

    Memory: about 500 bytes an image, and as much again for its part of the graph, from the size on where there is one.
    Vectors are mapped from files, and read from there where memory is short.
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
        """The index in `folder`, which is made if there is none; of a model's embeddings, by its threshold.

        exact, step: of a new index; an old one keeps its own. threads: that search the graph; 0: one a core.
        report: gets told of what took longer, or was repaired. Raises IndexFolderError.
        """
        described = model if isinstance(model, IndexedModel) else IndexedModel.of(model.manifest)
        wanted = Description(model=described, exact=exact, step=step)
        return cls(Store(folder, wanted, read_only, threads, report))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write. What was not committed is gone."""
        self._store.close()

    def begin(self, batch_id: str) -> Batch:
        """A batch of that name. One that was committed gives the answers that it gave then. An earlier one that was
        begun and not committed is given up."""
        if self._batch is not None:
            self._batch.give_up()
        answers = self._store.answers_of(batch_id)
        if answers is None:
            self._store.prepare_to_write()
        self._batch = Batch(self._store, batch_id, answers)
        return self._batch

    def query(self, vectors: Floats, count: int = 1, own: Sequence[str] | None = None) -> list[list[Neighbour]]:
        """For each of `vectors` (Q, D) the `count` most similar images, the most similar first. Adds nothing.

        own: what the images are called themselves (Q); no image is its own neighbour.
        """
        if count < 1:
            raise ValueError(f"{count} neighbours were asked for; ask for 1 or more")
        store = self._store
        store.model.check(vectors)
        limits = np.full(len(vectors), len(store.rows), np.int64)
        rows = [store.rows.row_of.get(name, -1) for name in own] if own is not None else [-1] * len(vectors)
        if len(rows) != len(vectors):
            raise ValueError(f"{len(rows)} names came with {len(vectors)} vectors; each needs one")
        asked = Asked(vectors.astype(np.float32, copy=False), limits, np.array(rows, np.int64))
        return [
            [Neighbour(store.rows.names[row], float(value)) for row, value in zip(*near.best(count), strict=True)]
            for near in store.search(asked, Wanted(count))
        ]

    def rebuild(self) -> None:
        """Segments and graph anew from the stored vectors: one segment, without rows that count no longer."""
        if self._batch is not None:
            self._batch.give_up()
            self._batch = None
        self._store.rebuild()

    def info(self) -> Info:
        store = self._store
        model, rows = store.model, len(store.rows)
        return Info(
            model=model.name,
            version=model.version,
            threshold=model.threshold,
            images=rows - len(store.rows.died),
            replaced=len(store.rows.died),
            groups=store.groups.several,
            batches=store.batches,
            segments=len(store.segments),
            graph_rows=store.graph.rows if store.graph is not None else 0,
            bytes=sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file()),
        )
