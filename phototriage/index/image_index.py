"""An index of embeddings in a folder, so that tomorrow's images are compared with today's.

    with ImageIndex.open(folder, model) as index:
        batch = index.begin("2026-03-01")
        for match in batch.add(names, vectors): ...
        batch.commit()

A batch is part of the index once it is committed, and leaves nothing behind if it isn't. The same batches in the same
order give the same answers, in however many calls their images are added, and however often a process was killed.

An index of a model that verifies keeps signatures: embeddings name candidates, and verification decides. One that was
begun without stays without: a new folder has to be filled for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.index.batch import Batch, NearestMatch
from phototriage.index.folder import Description, IndexedModel, model_of
from phototriage.index.search import Neighbour, NeighbourRows, Queries, SearchCriteria, similarities_to
from phototriage.index.store import Store
from phototriage.index.verified_rows import NEIGHBOURS, VerifiedRows, nominated, verify
from phototriage.verification.verifier import Verifier

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
    those of two or more images; `graph_rows`: how many rows the graph holds; `bytes`: on disk; `verifies`: whether
    duplicates are verified."""

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
    verifies: bool


class ImageIndex:
    """One process at a time may write; any number may read what was committed when they opened it.

    Memory: about 500 bytes an image, and as much again for the graph, once there is one. Vectors and signatures are
    mapped from files, and are read again from there where memory is short.
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
        verifier: Verifier | None = None,
        report: Report = lambda text: print(f"phototriage: {text}", file=sys.stderr),
    ) -> Self:
        """Open the index of a model's embeddings in `folder`; unless `read_only`, a new folder becomes an empty index.

        exact: rows from which on there is a graph; step: rows that are added to it in one step; an existing index keeps
        its own. threads: of a search in the graph, and of verification; 0: one for each core. verifier: of an
        IndexedModel that verifies, without which an index of it can't be added to; an Embedder has its own. report:
        called with messages about long work and repairs. Raises IndexFolderError.
        """
        if not isinstance(model, IndexedModel):
            verifier, model = model.verifier, IndexedModel.of(model.manifest)
        requested = Description(model=model, exact=exact, step=step)
        return cls(Store(folder, requested, read_only, threads, report, verifier))

    @property
    def model(self) -> IndexedModel:
        """The model that the index was begun with: says whether it verifies."""
        return self._store.model

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
        that was not committed is dropped. Raises IndexFolderError if the index may only be read, or needs a
        verifier."""
        if self._batch is not None:
            self._batch.give_up()
        answers = self._store.answers_of(batch_id)
        if answers is None:
            if self.model.verifies:
                self._store.require_verifier()
            self._store.prepare_to_write()
        self._batch = Batch(self._store, batch_id, answers)
        return self._batch

    def query(
        self,
        vectors: Floats,
        count: int = 1,
        own: Sequence[str] | None = None,
        signatures: Sequence[bytes] | None = None,
    ) -> list[list[Neighbour]]:
        """For each of `vectors` float32 (Q, D) the `count` most similar images, the most similar first. Adds nothing.

        own: the images' own names (Q,); no image is its own neighbour. signatures: the images' (Q,), in an index that
        verifies: those that are worth it are verified, and what is found to be duplicates comes first. Raises
        ValueError for vectors that can't be the model's, IndexFolderError where the index can't verify.
        """
        if count < 1:
            raise ValueError(f"{count} neighbours were asked for; ask for 1 or more")
        store = self._store
        store.model.check(vectors)
        for given, what in ((own, "names"), (signatures, "signatures")):
            if given is not None and len(given) != len(vectors):
                raise ValueError(f"{len(given)} {what} came with {len(vectors)} vectors; each needs one")
        limits = np.full(len(vectors), len(store.rows), np.int64)
        own_rows = [store.rows.row_of.get(name, -1) for name in own] if own is not None else [-1] * len(vectors)
        queries = Queries(vectors.astype(np.float32, copy=False), limits, np.array(own_rows, np.int64))
        if signatures is None:
            return [self._named(neighbours.best(count)) for neighbours in store.search(queries, SearchCriteria(count))]
        neighbours_of_all = store.search(queries, SearchCriteria(max(count, NEIGHBOURS)))
        verified_of_all = self._verify(queries, neighbours_of_all, signatures)
        return [
            self._duplicates_first(vector, neighbours.best(count), verified)
            for vector, neighbours, verified in zip(queries.vectors, neighbours_of_all, verified_of_all, strict=True)
        ]

    def _verify(
        self, queries: Queries, neighbours: Sequence[NeighbourRows], signatures: Sequence[bytes]
    ) -> list[VerifiedRows]:
        store, model = self._store, self._store.model
        verifier = store.require_verifier()
        with_layout = model.layout_rescoring is not None
        nominees = nominated(store.rows, queries, neighbours, model.threshold, with_layout, store.graph)
        return verify(store.rows, nominees, signatures, verifier)

    def _duplicates_first(self, vector: Floats, best: NeighbourRows, verified: VerifiedRows) -> list[Neighbour]:
        store = self._store
        known = dict(zip(verified.rows.tolist(), verified.probability.tolist(), strict=True))
        same = verified.duplicates(store.require_verifier().least).rows
        similarity = similarities_to(vector, store.rows.gather(same), store.model.layout_rescoring)
        others = [row not in same for row in best.rows]
        first = NeighbourRows(same, similarity).best(len(same))
        rows = np.concatenate([first.rows, best.rows[others]])
        values = np.concatenate([first.similarity, best.similarity[others]])
        return self._named(NeighbourRows(rows, values), known)[: len(best.rows)]

    def _named(self, neighbours: NeighbourRows, probability: Mapping[int, float] | None = None) -> list[Neighbour]:
        names, known = self._store.rows.names, probability or {}
        pairs = zip(neighbours.rows.tolist(), neighbours.similarity.tolist(), strict=True)
        return [Neighbour(names[row], value, known.get(row)) for row, value in pairs]

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
            verifies=model.verifies,
        )
