"""A batch: images that become part of an index together, and the match of each."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.index.pair_verifier import PairVerifier
from phototriage.index.search import NeighbourRows, Queries, SearchCriteria, similarities_to
from phototriage.index.segment import BatchRecord, Content
from phototriage.index.store import Store
from phototriage.index.verified_rows import NEIGHBOURS, nominated, verify

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

VERIFIED_AT_ONCE = 1024  # images
MOST_MEMBERS = 64  # of a group that an image is verified against, beside those that were its nearest


class NearestMatch(NamedTuple):
    """What an index answers about an image: its most similar earlier image and their similarity, None for the very
    first; whether they are duplicates; the label of its group, in which every two images are; and, if they were
    verified, the probability of being duplicates. Of earlier images that verification finds to be duplicates, it is the
    most similar one."""

    nearest: str | None
    similarity: float | None
    is_duplicate: bool
    group: str
    probability: float | None = None

    @property
    def verified(self) -> bool:
        return self.probability is not None

    def as_json(self) -> list[object]:
        """The fields, without a probability that there isn't."""
        return list(self) if self.verified else list(self[:-1])


class _Found(NamedTuple):
    """What is found of an image. rows, closeness: earlier rows that are its duplicates, ascending (n,), and how surely
    each is, by similarity or by probability, at least `least`. compare: gives the closeness of others (m,), or None if
    there are no others. nearest, similarity, probability: of the match."""

    rows: Indices
    closeness: NDArray[np.float64]
    least: float
    compare: Callable[[Indices], NDArray[np.float64]] | None
    nearest: int | None
    similarity: float | None
    probability: float | None


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

    def add(
        self, names: Sequence[str], vectors: Floats, signatures: Sequence[bytes] | None = None
    ) -> list[NearestMatch]:
        """The match of each image, in order, by `vectors` float32 (N, D) and, in an index that verifies, their encoded
        signatures (N). Each image is added before the next one's match.

        An image is compared with all images of earlier batches and the earlier ones of this batch, but never with its
        own name. A name that the index has keeps its row if vector and signature are the same. With others it gets a
        new row and a group as if it were new, and its old row is dead.

        Raises ValueError for vectors that can't be the model's, and for signatures that are missing, damaged or came to
        an index that doesn't verify; IndexFolderError if the batch is over.
        """
        if len(names) != len(vectors):
            raise ValueError(f"{len(names)} names came with {len(vectors)} vectors; each needs one")
        if not self._open:
            raise IndexFolderError(f"The batch {self.id!r} is over. Begin one.")
        if self.committed:
            return [self._stored_match(name) for name in names]
        self._store.model.check(vectors)
        self._check_signatures(len(names), signatures)
        vectors = vectors.astype(np.float32, copy=False)
        matches: list[NearestMatch] = []
        while len(matches) < len(names):
            # As many as can be added before the graph has to grow.
            count = self._store.grow_graph()
            block = slice(len(matches), len(matches) + (count if signatures is None else min(count, VERIFIED_AT_ONCE)))
            try:
                matches += self._add_block(
                    names[block], vectors[block], None if signatures is None else signatures[block]
                )
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

    def _check_signatures(self, count: int, signatures: Sequence[bytes] | None) -> None:
        model = self._store.model
        if model.verifies and signatures is None:
            raise ValueError(f"the index verifies by {model.name}: each image needs its signature")
        if not model.verifies and signatures is not None:
            raise ValueError("the index was begun without verification and takes no signatures")
        if signatures is not None and len(signatures) != count:
            raise ValueError(f"{count} names came with {len(signatures)} signatures; each needs one")

    def _add_block(
        self, names: Sequence[str], vectors: Floats, signatures: Sequence[bytes] | None
    ) -> list[NearestMatch]:
        own_rows, limits = (np.empty(len(names), np.int64) for _ in range(2))
        added = []
        for place, (name, vector) in enumerate(zip(names, vectors, strict=True)):
            signature = None if signatures is None else signatures[place]
            own_rows[place], limits[place] = self._store.rows.row_of.get(name, -1), len(self._store.rows)
            added.append(not self._is_same(int(own_rows[place]), vector, signature))
            if added[-1]:
                self._store.rows.add(name, vector, signature)
        queries = Queries(vectors, limits, own_rows)
        found = self._find(queries) if signatures is None else self._find_verified(queries, signatures)
        matches = []
        for place, found_of_image in enumerate(found):
            match = self._match(names[place], int(own_rows[place]), added[place], found_of_image)
            self._answers.append(json.dumps([names[place], *match.as_json()]).encode("ascii") + b"\n")
            matches.append(match)
        return matches

    def _is_same(self, row: int, vector: Floats, signature: bytes | None) -> bool:
        """Whether the row, which may be −1, is of the same photo."""
        rows = self._store.rows
        if row < 0 or not np.array_equal(rows.gather(np.array([row]))[0], vector):
            return False
        return signature is None or rows.signature(row) == signature

    def _find(self, queries: Queries) -> list[_Found]:
        store, threshold = self._store, self._store.model.threshold
        is_exact = store.graph is None or not store.graph.rows
        found = []
        neighbours_of_all = store.search(queries, SearchCriteria(1, threshold))
        for vector, neighbours in zip(queries.vectors, neighbours_of_all, strict=True):
            is_near = neighbours.similarity >= threshold
            near, similarity = neighbours.rows[is_near], neighbours.similarity[is_near]
            compare = None if is_exact else partial(self._similarities, vector)
            found.append(_Found(near, similarity, threshold, compare, *_first(neighbours), None))
        return found

    def _find_verified(self, queries: Queries, signatures: Sequence[bytes]) -> list[_Found]:
        store, model, verifier = self._store, self._store.model, self._store.require_verifier()
        neighbours_of_all = store.search(queries, SearchCriteria(NEIGHBOURS))
        with_layout = model.layout_rescoring is not None
        nominees = nominated(store.rows, queries, neighbours_of_all, model.threshold, with_layout, store.graph)
        verified_of_all = verify(store.rows, nominees, signatures, verifier)
        found = []
        for place, (neighbours, verified) in enumerate(zip(neighbours_of_all, verified_of_all, strict=True)):
            known = dict(zip(verified.rows.tolist(), verified.probability.tolist(), strict=True))
            duplicates = verified.duplicates(verifier.least)
            if len(duplicates.rows):
                similarity = self._similarities(queries.vectors[place], duplicates.rows)
                neighbours = NeighbourRows(duplicates.rows, similarity)
            nearest, value = _first(neighbours)
            probability = None if nearest is None else known.get(nearest)
            compare = partial(self._probabilities, verifier, signatures[place], known)
            found.append(_Found(*duplicates, verifier.least, compare, nearest, value, probability))
        return found

    def _similarities(self, vector: Floats, rows: Indices) -> NDArray[np.float64]:
        return similarities_to(vector, self._store.rows.gather(rows), self._store.model.layout_rescoring)

    def _probabilities(
        self, verifier: PairVerifier, signature: bytes, known: dict[int, float], rows: Indices
    ) -> NDArray[np.float64]:
        """Of the first MOST_MEMBERS of `rows`, up to the first that is no duplicate; `known`: those that there are."""
        values = [known[row] for row in rows.tolist() if row in known]
        if values and min(values) < verifier.least:
            return np.array(values)
        for row in [row for row in rows.tolist() if row not in known][:MOST_MEMBERS]:
            known[row] = verifier.probability(signature, self._store.rows.signature(row))
            values.append(known[row])
            if values[-1] < verifier.least:
                break
        return np.array(values)

    def _match(self, name: str, own_row: int, added: bool, found: _Found) -> NearestMatch:
        """Find an image's group, and its match. `own_row`: the row that its name had before, or −1; `added`: whether it
        has a new one."""
        store = self._store
        if added:
            if own_row >= 0:
                store.groups.remove(own_row)
                self._replaced.append(own_row)
            group = store.groups.join(name, found.rows, found.closeness, found.least, found.compare)
        else:
            group = store.groups.group_of[own_row]
        label = store.groups.labels[group]
        if found.nearest is None or found.similarity is None:
            return NearestMatch(None, None, False, label)
        is_duplicate = store.model.is_duplicate(found.similarity, found.probability)
        return NearestMatch(store.rows.names[found.nearest], found.similarity, is_duplicate, label, found.probability)

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
            signatures=map(rows.signature, range(self._first_row, len(rows))) if rows.is_signed else None,
        )

    def give_up(self) -> None:
        """Drop what was added, unless it was committed. The batch is over then."""
        if self._open and not self.committed:
            self._store.reset()
        self._open = False


def _first(neighbours: NeighbourRows) -> tuple[int | None, float | None]:
    """The most similar row and its similarity, if there is any."""
    if not len(neighbours.rows):
        return None, None
    row, similarity = (column[0].item() for column in neighbours.best(1))
    return row, similarity
