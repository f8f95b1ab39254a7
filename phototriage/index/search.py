"""The most similar of many rows, by exact similarities: of all rows, or of those that a graph names and all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import EXACT_ROWS, similarities
from phototriage.index.folder import LENGTH_TOLERANCE
from phototriage.index.rows import Rows

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]

QUERIES = 128  # at once: a block of values takes 1 MB
FIRST_ROWS = 256  # of the first block, after which there is something to beat


class Asked(NamedTuple):
    """vectors (Q, D). Each is compared with the rows before its limit (Q), but not with its own row (Q), if not −1."""

    vectors: Floats
    limits: Indices
    own: Indices

    def part(self, start: int) -> Asked:
        part = slice(start, start + QUERIES)
        return Asked(self.vectors[part], self.limits[part], self.own[part])


class Wanted(NamedTuple):
    """The `most` similar rows, so many, and all whose similarity is at least `threshold`, if there is one."""

    most: int
    threshold: float | None = None


class Near(NamedTuple):
    """Rows, ascending (n), and their similarities float64 (n)."""

    rows: Indices
    similarity: Similarities

    def best(self, count: int) -> Near:
        """The most similar ones first; of equally similar ones the earliest."""
        order = np.lexsort((self.rows, -self.similarity))[:count]
        return Near(self.rows[order], self.similarity[order])


class Neighbour(NamedTuple):
    """An image that is there, and how similar it is."""

    name: str
    similarity: float


class Knows(Protocol):
    """What names rows that may be similar, of those before `rows`."""

    rows: int

    def candidates(self, vectors: Floats) -> Indices:
        """(Q, n) for `vectors` (Q, D); −1 where there are fewer."""
        ...


def search(
    rows: Rows, asked: Asked, wanted: Wanted, rescoring: LayoutRescoring | None, graph: Knows | None = None
) -> list[Near]:
    """For each of those asked, what is wanted. Without a graph nothing is missed."""
    found: list[Near] = []
    for start in range(0, len(asked.vectors), QUERIES):
        found += _search_part(rows, asked.part(start), wanted, rescoring, graph)
    return found


def _search_part(
    rows: Rows, asked: Asked, wanted: Wanted, rescoring: LayoutRescoring | None, graph: Knows | None
) -> list[Near]:
    sieve = _Sieve(wanted, _slack(asked.vectors.shape[1], rescoring), asked, rows.visible)
    begin = 0
    if graph is not None and graph.rows:
        begin = graph.rows
        sieve.offer(*_scored(rows, asked.vectors, graph.candidates(asked.vectors), rescoring))
    stop = int(asked.limits.max())
    first_rows = 0 if begin else FIRST_ROWS
    for low, high in ((begin, min(begin + first_rows, stop)), (begin + first_rows, stop)):
        for first, block in rows.blocks(low, high):
            query, place, value = _promising(asked.vectors, block, sieve.bar, rescoring)
            sieve.offer(query, place + first, value)
    return _settled(rows, asked.vectors, sieve, rescoring)


def similarities_to(vector: Floats, others: Floats, rescoring: LayoutRescoring | None) -> Similarities:
    """Of one embedding (D) with others (n, D)."""
    # Repeated, not broadcast: sums over arrays that lie otherwise in memory are rounded otherwise.
    return similarities(np.repeat(vector[None], len(others), axis=0), others, rescoring)


def _slack(dimension: int, rescoring: LayoutRescoring | None) -> float:
    """By how much a similarity in float32 may be off: each product by D roundings, and by lengths that aren't 1."""
    product = (dimension + 8) * float(np.finfo(np.float32).eps) + 2.1 * LENGTH_TOLERANCE
    return product if rescoring is None else product * 2 * rescoring.steepness


class _Sieve:
    """Keeps pairs of a query and a row that may be wanted, by similarities that may be off by `slack`."""

    def __init__(
        self,
        wanted: Wanted,
        slack: float,
        asked: Asked,
        visible: Callable[[Indices, Indices], NDArray[np.bool_]],
    ) -> None:
        self._wanted, self._slack, self._asked, self._visible = wanted, slack, asked, visible
        self.query = self.row = np.empty(0, np.int64)
        self._value = np.empty(0, np.float32)
        self.bar = np.full(len(asked.limits), -np.inf, np.float32)  # less than that is not wanted

    def offer(self, query: Indices, row: Indices, value: Floats) -> None:
        kept = (value >= self.bar[query]) & (row != self._asked.own[query])
        query, row, value = query[kept], row[kept], value[kept]
        kept = self._visible(row, self._asked.limits[query])
        if kept.any():
            self.query = np.concatenate([self.query, query[kept]])
            self.row = np.concatenate([self.row, row[kept]])
            self._value = np.concatenate([self._value, value[kept]])
            self._raise()

    def _raise(self) -> None:
        """Raise the bar to each query's last wanted value, and drop what is below it."""
        order = np.lexsort((-self._value, self.query))
        begins = np.searchsorted(self.query[order], np.arange(len(self.bar) + 1))
        last = begins[:-1] + self._wanted.most - 1
        full = last < begins[1:]
        reached = self._value[order[last[full]]]
        if self._wanted.threshold is not None:
            reached = np.minimum(reached, np.float32(self._wanted.threshold))
        self.bar[full] = reached - np.float32(self._slack * 2)
        kept = self._value >= self.bar[self.query]
        self.query, self.row, self._value = self.query[kept], self.row[kept], self._value[kept]


def _promising(
    vectors: Floats, block: Floats, bar: Floats, rescoring: LayoutRescoring | None
) -> tuple[Indices, Indices, Floats]:
    """Pairs (query, place in the block) that may reach the query's bar, and their similarity in float32."""
    if rescoring is None:
        near = vectors @ block.T
        query, place = np.nonzero(near >= bar[:, None])
        return query, place, near[query, place]
    seen, placed = slice(None, -layout.DIMENSION), slice(-layout.DIMENSION, None)
    near = vectors[:, seen] @ block[:, seen].T
    agreements = layout.agreements(vectors[:, placed], block[:, placed])
    # Only an agreement above the floor makes a similarity more than the cosine: the others need no closer look.
    query, place = np.nonzero((near >= bar[:, None]) | (agreements > np.float32(rescoring.floor)))
    return query, place, rescoring.similarity(near[query, place], agreements[query, place])


def _scored(
    rows: Rows, vectors: Floats, named: Indices, rescoring: LayoutRescoring | None
) -> tuple[Indices, Indices, Floats]:
    """The candidates (Q, n) as pairs (query, row), each once, and their similarity in float32."""
    named = np.sort(named, axis=1)
    real = named >= 0
    real[:, 1:] &= named[:, 1:] != named[:, :-1]
    query, row = np.nonzero(real)[0], named[real]
    value = np.empty(len(row), np.float32)
    for start in range(0, len(row), EXACT_ROWS):
        part = slice(start, start + EXACT_ROWS)
        value[part] = _products(vectors[query[part]], rows.gather(row[part]), rescoring)
    return query, row, value


def _products(left: Floats, right: Floats, rescoring: LayoutRescoring | None) -> Floats:
    products = left * right
    if rescoring is None:
        found: Floats = products.sum(axis=1)
        return found
    split, even = -layout.DIMENSION, -layout.DIMENSION + layout.EVEN
    agreement = products[:, split:even].sum(axis=1) + np.abs(products[:, even:].sum(axis=1))
    return rescoring.similarity(products[:, :split].sum(axis=1), agreement)


def _settled(rows: Rows, vectors: Floats, sieve: _Sieve, rescoring: LayoutRescoring | None) -> list[Near]:
    """What the sieve has kept, worked out in float64."""
    order = np.lexsort((sieve.row, sieve.query))
    query, row = sieve.query[order], sieve.row[order]
    exact = np.empty(len(row))
    for start in range(0, len(row), EXACT_ROWS):
        part = slice(start, start + EXACT_ROWS)
        exact[part] = similarities(vectors[query[part]], rows.gather(row[part]), rescoring)
    begins = np.searchsorted(query, np.arange(len(vectors) + 1))
    return [
        Near(row[low:high], exact[low:high])
        for low, high in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)
    ]
