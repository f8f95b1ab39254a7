"""A batch: images that become part of an index together, and the match of each."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.index.search import NeighbourRows, Queries, SearchCriteria, similarities_to
from phototriage.index.segment import BatchRecord, Content
from phototriage.index.store import Store

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class NearestMatch(NamedTuple):
    """What an index answers about an image: its most similar earlier image and their similarity, None for the very
    first; whether that reaches the threshold; the label of its group, in which every two images reach it."""

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
        self._stored_matches: dict[str, deque[NearestMatch]] = defaultdict(deque)

    def add(self, names: Sequence[str], vectors: Floats) -> list[NearestMatch]:
        """The match of each image, in order, by `vectors` float32 (N, D). Each image is added before the next one's
        match.

        An image is compared with all images of earlier batches and the earlier ones of this batch, but never with its
        own name. A name that the index has keeps its row if the vector is the same. With another vector it gets a new
        row and a group as if it were new, and its old row is dead.

        Raises ValueError for vectors that can't be the model's, IndexFolderError if the batch is over.
        """
        if len(names) != len(vectors):
            raise ValueError(f"{len(names)} names came with {len(vectors)} vectors; each needs one")
        if not self._open:
            raise IndexFolderError(f"The batch {self.id!r} is over. Begin one.")
        if self.committed:
            return [self._stored_match(name) for name in names]
        self._store.model.check(vectors)
        vectors = vectors.astype(np.float32, copy=False)
        matches: list[NearestMatch] = []
        while len(matches) < len(names):
            # As many as can be added before the graph has to grow.
            block = slice(len(matches), len(matches) + self._store.grow_graph())
            try:
                matches += self._add_block(names[block], vectors[block])
            except BaseException:
                self.give_up()  # rows without a group are no consistent state
                raise
        return matches

    def _stored_match(self, name: str) -> NearestMatch:
        """The match that a committed batch gave to an image, in the order in which its name occurred."""
        if not self._stored_matches:  # read only when needed: answers take more memory than vectors
            for other, *match in self._store.answers_of(self.id) or ():
                self._stored_matches[str(other)].append(NearestMatch(*match))
        matches = self._stored_matches.get(name)
        if not matches:
            raise IndexFolderError(
                f"The batch {self.id!r} was committed without an image {name!r}. Begin another batch for what is new."
            )
        return matches.popleft() if len(matches) > 1 else matches[0]

    def _add_block(self, names: Sequence[str], vectors: Floats) -> list[NearestMatch]:
        store, rows = self._store, self._store.rows
        own_rows, limits = (np.empty(len(names), np.int64) for _ in range(2))
        added = []
        for place, (name, vector) in enumerate(zip(names, vectors, strict=True)):
            own_rows[place], limits[place] = rows.row_of.get(name, -1), len(rows)
            is_same = own_rows[place] >= 0 and np.array_equal(rows.gather(own_rows[place : place + 1])[0], vector)
            added.append(not is_same)
            if not is_same:
                rows.add(name, vector)
        neighbours = store.search(Queries(vectors, limits, own_rows), SearchCriteria(1, store.model.threshold))
        matches = []
        for place, neighbours_of_image in enumerate(neighbours):
            match = self._match(names[place], vectors[place], int(own_rows[place]), added[place], neighbours_of_image)
            self._answers.append(json.dumps([names[place], *match]).encode("ascii") + b"\n")
            matches.append(match)
        return matches

    def _match(self, name: str, vector: Floats, own_row: int, added: bool, neighbours: NeighbourRows) -> NearestMatch:
        """Find an image's group, and its match. `own_row`: the row that its name had before, or −1; `added`: whether it
        has a new one."""
        store, threshold = self._store, self._store.model.threshold
        if added:
            if own_row >= 0:
                store.groups.remove(own_row)
                self._replaced.append(own_row)
            group = self._join_group(name, vector, neighbours)
        else:
            group = store.groups.group_of[own_row]
        label = store.groups.labels[group]
        if not len(neighbours.rows):
            return NearestMatch(None, None, False, label)
        row, similarity = (column[0].item() for column in neighbours.best(1))
        return NearestMatch(store.rows.names[row], similarity, similarity >= threshold, label)

    def _join_group(self, name: str, vector: Floats, neighbours: NeighbourRows) -> int:
        store, threshold = self._store, self._store.model.threshold

        def compare(rows: Indices) -> NDArray[np.float64]:
            return similarities_to(vector, store.rows.gather(rows), store.model.layout_rescoring)

        is_near = neighbours.similarity >= threshold
        is_exact = store.graph is None or not store.graph.rows
        return store.groups.join(
            name, neighbours.rows[is_near], neighbours.similarity[is_near], threshold, None if is_exact else compare
        )

    def commit(self) -> None:
        """Make the batch part of the index on disk: all of it, or nothing if the process dies. A second call does
        nothing.

        Raises IndexFolderError if the batch is over or the index may only be read, OSError.
        """
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
        first_member = {groups.group_of[self._first_row + place]: place for place in reversed(range(len(names)))}
        group_labels: list[int | str] = []
        for group, label in enumerate(groups.labels[self._first_group :], self._first_group):
            place = first_member.get(group)
            group_labels.append(place if place is not None and names[place] == label else label)
        size = sum(map(len, self._answers))
        return Content(
            first_row=self._first_row,
            dimension=rows.dimension,
            names=names,
            blocks=(block for _, block in rows.blocks(self._first_row, len(rows))),
            groups=np.array(groups.group_of[self._first_row :], np.int64),
            group_labels=group_labels,
            replaced=np.array(self._replaced, np.int64),
            batches=(BatchRecord(id=self.id, start=0, stop=size),),
            answers=self._answers,
        )

    def give_up(self) -> None:
        """Drop what was added, unless it was committed. The batch is over then."""
        if self._open and not self.committed:
            self._store.reset()
        self._open = False
