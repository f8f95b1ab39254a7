"""Images that become part of an index together, and what the index says to each."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.index.search import Asked, Near, Wanted, similarities_to
from phototriage.index.segment import BatchRecord, Content
from phototriage.index.store import Store

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class NearestMatch(NamedTuple):
    """What an index says to an image: its nearest earlier image and their similarity, None for the very first; whether
    that reaches the threshold; the label of its group, in which every two images reach it."""

    nearest: str | None
    similarity: float | None
    is_duplicate: bool
    group: str


class Batch:
    """Images that become part of the index together."""

    def __init__(self, store: Store, batch_id: str, answers: list[list[object]] | None) -> None:
        self.id = batch_id
        self.committed = answers is not None
        self._store, self._open = store, True
        self._first_row, self._first_group = len(store.rows), len(store.groups.labels)
        self._replaced: list[int] = []
        self._answers: list[bytes] = []
        self._known: dict[str, deque[NearestMatch]] = defaultdict(deque)

    def add(self, names: Sequence[str], vectors: Floats) -> list[NearestMatch]:
        """What the index says to each image, in order, `vectors` (N, D); each becomes part of it as it is seen.

        An image is compared with all of earlier batches and with those before it in this one, but never with its own
        name. A name that is there already keeps its row if the vector is the same. With another vector it gets a new
        row, and a place in a group as if it were new; the old one counts no longer.
        """
        if len(names) != len(vectors):
            raise ValueError(f"{len(names)} names came with {len(vectors)} vectors; each needs one")
        if not self._open:
            raise IndexFolderError(f"The batch {self.id!r} is over. Begin one.")
        if self.committed:
            return [self._stored(name) for name in names]
        self._store.model.check(vectors)
        vectors = vectors.astype(np.float32, copy=False)
        found: list[NearestMatch] = []
        while len(found) < len(names):
            # As many as are compared with the same rows of a graph.
            part = slice(len(found), len(found) + self._store.grow_graph())
            try:
                found += self._add_part(names[part], vectors[part])
            except BaseException:
                self.give_up()  # rows without a group are no state to go on from
                raise
        return found

    def _stored(self, name: str) -> NearestMatch:
        if not self._known:  # as seldom as a batch is asked again: answers take more memory than vectors
            for other, *seen in self._store.answers_of(self.id) or ():
                self._known[str(other)].append(NearestMatch(*seen))
        known = self._known.get(name)
        if not known:
            raise IndexFolderError(
                f"The batch {self.id!r} was committed without an image {name!r}. Begin another batch for what is new."
            )
        return known.popleft() if len(known) > 1 else known[0]

    def _add_part(self, names: Sequence[str], vectors: Floats) -> list[NearestMatch]:
        store, rows = self._store, self._store.rows
        own, limits = (np.empty(len(names), np.int64) for _ in range(2))
        added = []
        for place, (name, vector) in enumerate(zip(names, vectors, strict=True)):
            own[place], limits[place] = rows.row_of.get(name, -1), len(rows)
            same = own[place] >= 0 and np.array_equal(rows.gather(own[place : place + 1])[0], vector)
            added.append(not same)
            if not same:
                rows.add(name, vector)
        nears = store.search(Asked(vectors, limits, own), Wanted(1, store.model.threshold))
        found = []
        for place, near in enumerate(nears):
            seen = self._nearest_match(names[place], vectors[place], int(own[place]), added[place], near)
            self._answers.append(json.dumps([names[place], *seen]).encode("ascii") + b"\n")
            found.append(seen)
        return found

    def _nearest_match(self, name: str, vector: Floats, own: int, added: bool, near: Near) -> NearestMatch:
        store, threshold = self._store, self._store.model.threshold
        group = store.groups.of[own] if not added else -1
        if added:
            if own >= 0:
                store.groups.leave(own)
                self._replaced.append(own)
            reached = near.similarity >= threshold

            def compare(rows: Indices) -> NDArray[np.float64]:
                return similarities_to(vector, store.rows.gather(rows), store.model.layout_rescoring)

            exact = store.graph is None or not store.graph.rows
            group = store.groups.join(
                name, near.rows[reached], near.similarity[reached], threshold, None if exact else compare
            )
        if not len(near.rows):
            return NearestMatch(None, None, False, store.groups.labels[group])
        row, similarity = (column[0].item() for column in near.best(1))
        return NearestMatch(store.rows.names[row], similarity, similarity >= threshold, store.groups.labels[group])

    def commit(self) -> None:
        """Make the batch part of the index on disk: all of it, or nothing if the process dies. Again: nothing."""
        if not self._open:
            raise IndexFolderError(f"The batch {self.id!r} is over. Begin one.")
        if self.committed:
            return
        self._store.commit(self._content())
        self.committed = True
        self._answers = []
        self._store.merge()

    def _content(self) -> Content:
        rows, groups = self._store.rows, self._store.groups
        names = rows.names[self._first_row :]
        founder = {groups.of[self._first_row + place]: place for place in reversed(range(len(names)))}
        founded: list[int | str] = []
        for group, label in enumerate(groups.labels[self._first_group :], self._first_group):
            place = founder.get(group)
            founded.append(place if place is not None and names[place] == label else label)
        size = sum(map(len, self._answers))
        return Content(
            first_row=self._first_row,
            dimension=rows.dimension,
            names=names,
            blocks=(block for _, block in rows.blocks(self._first_row, len(rows))),
            groups=np.array(groups.of[self._first_row :], np.int64),
            founded=founded,
            replaced=np.array(self._replaced, np.int64),
            batches=(BatchRecord(id=self.id, start=0, stop=size),),
            answers=self._answers,
        )

    def give_up(self) -> None:
        """What it has added is gone, unless it was committed."""
        if self._open and not self.committed:
            self._store.reset()
        self._open = False
