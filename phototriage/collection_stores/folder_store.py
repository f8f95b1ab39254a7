"""A collection that one process keeps in a folder: a database, its vectors in a file beside it, and a graph of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock

import numpy as np

from phototriage.collection_stores.folder_database import Database
from phototriage.collection_stores.graph_keeper import EXACT_ROWS, STEP, GraphKeeper
from phototriage.collection_stores.held_folder import hold, unavailable
from phototriage.collection_stores.some_rows import SomeRows
from phototriage.collection_stores.vector_file import VectorFile, stamp_of
from phototriage.collections.nominees import MOST_APART, one_of_each_group
from phototriage.collections.photos import KeptPhoto, NewPhoto, Vector
from phototriage.collections.store import Counts, Description, Found, Page, Rows
from phototriage.common.atomic_writes import PART
from phototriage.common.errors import StoreUnavailable, TooLarge
from phototriage.index.search import (
    CandidateGraph,
    NeighbourRows,
    Queries,
    SearchCriteria,
    search,
)
from phototriage.index.verified_rows import nominated

DATABASE, VECTORS = "collection.db", "vectors"


class FolderStore:
    """A `Store`. The vectors' file and the graph are copies of what the database holds, and are made anew from it
    after the process was killed."""

    def __init__(
        self, folder: Path, description: Description | None = None, *, exact: int = EXACT_ROWS, step: int = STEP
    ) -> None:
        """`description`: of a new one. exact: rows from which on there is a graph; step: rows that it grows by. Raises
        StoreUnavailable, also where another process keeps it."""
        self.folder = folder
        self._lock = RLock()  # of changes
        self._held = hold(folder)
        self._vectors: VectorFile | None = None
        try:
            self._database = Database(folder / DATABASE, description)
            self.description = self._database.description
            model = self.description.model
            (folder / (VECTORS + PART)).unlink(missing_ok=True)
            stamp = self._database.stamp
            if not stamp or stamp != stamp_of(folder / VECTORS):  # it was killed, or a backup was put there
                VectorFile.rewrite(folder / VECTORS, model.dimension, self._database.vectors())
            self._database.set_stamp("")
            self._vectors = VectorFile(folder / VECTORS, model.dimension, self._database.living())
            self._changes = 0  # since it was opened, and seen by whoever looks now
            self._next_row = max(self._database.last_row + 1, len(self._vectors))
            self._keeper = GraphKeeper(folder, model.parts, self._vectors, exact, step)
        except OSError as error:
            self._held.close()
            raise unavailable(folder, error) from error
        except BaseException:
            self._held.close()
            raise

    @property
    def vectors(self) -> VectorFile:
        if self._vectors is None:
            raise StoreUnavailable(f"The collection {self.folder.name!r} was closed. Ask again later.")
        return self._vectors

    def close(self, discard: bool = False) -> None:
        with self._lock:
            vectors, self._vectors = self._vectors, None
            if vectors is None:
                return
            try:
                self._keeper.stop(save=not discard)
                if not discard:
                    self._database.forget_log(deleted=False)
                    self._database.set_stamp(vectors.sync())
            except OSError as error:
                raise unavailable(self.folder, error) from error
            finally:
                self._database.close()
                vectors.close()
                self._held.close()

    def wait(self, seconds: float) -> bool:
        """Wait until the graph has caught up; False if that took longer."""
        return self._keeper.wait(seconds)

    @property
    def graph_rows(self) -> int:
        """How many rows are in the graph."""
        return self._keeper.rows

    def rebuild(self) -> None:
        """Have the graph made anew in the background."""
        self._keeper.rebuild()

    def find(self, vector: Vector, count: int, own: str | None, tags: Sequence[str]) -> Found:
        changes, vectors, model = self._changes, self.vectors, self.description.model
        rows = len(vectors)
        if not vectors.living:
            return Found(changes, NeighbourRows(np.empty(0, np.int64), np.empty(0)), np.empty(0, np.int64))
        own_row = None if own is None else self._database.row_of(own)
        queries = Queries(vector[np.newaxis], np.array([rows]), np.array([-1 if own_row is None else own_row]))
        if tags:
            return self._find_among(self._database.rows_with(tags), queries, count, own, changes)
        graph = self._keeper.view()
        criteria = SearchCriteria(max(count, MOST_APART))
        (nearest,) = search(vectors, queries, criteria, model.layout_rescoring, graph)
        nearest = known_ones(nearest)
        return Found(changes, nearest, self._nominees(vectors, queries, self._apart(nearest, own), graph))

    def _apart(self, nearest: NeighbourRows, own: str | None, among: Rows | None = None) -> NeighbourRows:
        """Of each group the most similar row, and none that is marked as no duplicate of the photo `own`. among: the
        rows that `nearest` numbers, if not all."""
        best = nearest.best(MOST_APART)
        numbers = best.rows if among is None else among[best.rows]
        marked = set() if own is None else self._database.marked(own)
        known = self._database.known(numbers.tolist())
        named = {
            place: known[row] for place, row in zip(best.rows.tolist(), numbers.tolist(), strict=True) if row in known
        }
        return one_of_each_group(best, named, marked)

    def _find_among(self, rows: Rows, queries: Queries, count: int, own: str | None, changes: int) -> Found:
        """An exact search, of these rows alone."""
        vectors = self.vectors
        rows = rows[vectors.visible(rows, np.full(len(rows), queries.limits[0]))]
        rows = rows[rows != queries.own_rows[0]]
        some = SomeRows(vectors, rows)
        among = Queries(queries.vectors, np.array([len(rows)]), np.array([-1]))
        if not len(rows):
            return Found(changes, NeighbourRows(rows, np.empty(0)), rows)
        rescoring = self.description.model.layout_rescoring
        (nearest,) = search(some, among, SearchCriteria(max(count, MOST_APART)), rescoring)
        nearest = known_ones(nearest)
        nominees = self._nominees(some, among, self._apart(nearest, own, rows), None)
        return Found(changes, NeighbourRows(rows[nearest.rows], nearest.similarity), rows[nominees])

    def _nominees(
        self,
        vectors: VectorFile | SomeRows,
        queries: Queries,
        nearest: NeighbourRows,
        graph: CandidateGraph | None,
    ) -> Rows:
        model = self.description.model
        with_layout = model.layout_rescoring is not None
        (nominees,) = nominated(vectors, queries, [nearest], model.threshold, with_layout, graph)
        return nominees

    def photos(self, rows: Sequence[int]) -> list[KeptPhoto]:
        if not rows:
            return []
        return self._database.photos(f"row IN ({', '.join('?' * len(rows))})", list(rows))

    def photo(self, name: str) -> KeptPhoto | None:
        return next(iter(self._database.photos("id = ?", [name])), None)

    def insert(self, photo: NewPhoto, group: int | None, changes: int, most: int) -> KeptPhoto | None:
        with self._lock:
            if self._changes != changes:
                return None
            replaced = self._database.row_of(photo.id)
            if replaced is None and self.vectors.living >= most:
                raise TooLarge(
                    f"The collection {self.description.name!r} has {self.vectors.living} photos, and the limit is "
                    f"{most}. Delete some, or have PHOTOTRIAGE_MAX_COLLECTION_PHOTOS raised."
                )
            row, self._next_row = self._next_row, self._next_row + 1
            if replaced is not None:
                self._keeper.forget(replaced)
            # The vector first: whoever has seen this change is to see the photo, too.
            self._write(row, photo.vector)
            try:
                kept = self._database.insert(photo, row, row if group is None else group)
            except BaseException:
                self._erase(row)
                raise
            if replaced is not None:
                self._erase(replaced)
            self._changes += 1
        self._keeper.grow()
        return kept

    def load(self, photos: Sequence[tuple[KeptPhoto, str | None]], groups: dict[str, int]) -> None:
        placed = []
        with self._lock:
            for photo, group in {photo.id: (photo, group) for photo, group in photos}.values():
                row, self._next_row = self._next_row, self._next_row + 1
                founder = row if group is None else groups.setdefault(group, row)
                placed.append(replace(photo, row=row, group=founder))
            earlier = (self._database.row_of(photo.id) for photo in placed)
            replaced = [row for row in earlier if row is not None]
            for row in replaced:
                self._keeper.forget(row)
            for photo in placed:
                self._write(photo.row, photo.vector)
            try:
                self._database.load(placed)
            except BaseException:
                for photo in placed:
                    self._erase(photo.row)
                raise
            self._changes += 1
            for row in replaced:
                self._erase(row)
        self._keeper.grow()

    def loading(self) -> AbstractContextManager[None]:
        return nullcontext()  # the graph grows in the background anyway

    def photos_after(self, row: int, most: int) -> list[KeptPhoto]:
        return self._database.photos("row > ?", [row], most)

    def set_tags(self, row: int, tags: Sequence[str]) -> None:
        self._database.set_tags(row, tags)

    def delete(self, name: str) -> bool:
        with self._lock:
            row = self._database.row_of(name)
            if row is None:
                return False
            # The graph's file first: were the process killed in between, it would still have what the others haven't.
            self._keeper.forget(row)
            self._database.delete(name)
            self._erase(row)
            self._changes += 1
        return True

    def _write(self, row: int, vector: Vector) -> None:
        try:
            self.vectors.write(row, vector)
        except OSError as error:
            raise unavailable(self.folder, error) from error

    def _erase(self, row: int) -> None:
        """A row that the database has no longer."""
        try:
            self.vectors.erase(row)
        except OSError as error:
            raise unavailable(self.folder, error) from error
        self._database.forget_log()

    def members(self, group: int, most: int) -> list[int]:
        return self._database.members(group, most)

    def any_in_group(self, group: int, names: Collection[str]) -> bool:
        return self._database.any_in_group(group, names)

    def mark(self, a: str, b: str) -> bool:
        with self._lock:
            is_new = self._database.mark(a, b)
            self._changes += 1
        return is_new

    def unmark(self, a: str, b: str) -> bool:
        with self._lock:
            was_known = self._database.unmark(a, b)
            self._changes += 1
        return was_known

    def marked(self, name: str) -> set[str]:
        return self._database.marked(name)

    def list_photos(self, after: int, most: int, tags: Sequence[str], group: int | None = None) -> Page:
        return self._database.list_photos(after, most, tags, group)

    def list_groups(self, after: int, most: int, most_ids: int) -> Page:
        return self._database.list_groups(after, most, most_ids)

    def list_marked(self, after: int, most: int) -> Page:
        return self._database.list_marked(after, most)

    def counts(self) -> Counts:
        size = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # files of the graph and of the database come and go
                size += path.stat().st_blocks * 512
        return Counts(*self._database.counts(), bytes=size)


def known_ones(neighbours: NeighbourRows) -> NeighbourRows:
    """Without rows that were erased while they were compared."""
    there = ~np.isnan(neighbours.similarity)
    return NeighbourRows(neighbours.rows[there], neighbours.similarity[there])
