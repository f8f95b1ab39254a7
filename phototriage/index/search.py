"""The most similar rows of an index, by exact similarities: an exact search, or one among the candidates of a graph and
the rows that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import EXACT_ROWS, similarities
from phototriage.index.folder import LENGTH_TOLERANCE

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]

QUERIES = 128  # of a block: its table of similarities takes 1 MB
FIRST_ROWS = 256  # of the first block, which gives every query a cutoff


class Queries(NamedTuple):
    """Embeddings float32 (Q, D). Each is compared with the rows below its limit, int64 (Q,), but not with its own row,
    int64 (Q,), unless that is −1."""

    vectors: Floats
    limits: Indices
    own_rows: Indices

    def block(self, start: int) -> Queries:
        """At most QUERIES of them, from `start` on."""
        block = slice(start, start + QUERIES)
        return Queries(self.vectors[block], self.limits[block], self.own_rows[block])


class SearchCriteria(NamedTuple):
    """The `nearest` most similar rows are wanted, and all whose similarity is at least `threshold`, if there is one."""

    nearest: int
    threshold: float | None = None


class NeighbourRows(NamedTuple):
    """Rows of an index, ascending int64 (n,), and their similarities to a query, float64 (n,)."""

    rows: Indices
    similarity: Similarities

    def best(self, count: int) -> NeighbourRows:
        """At most `count` rows, the most similar first; of equally similar ones the earliest."""
        order = np.lexsort((self.rows, -self.similarity))[:count]
        return NeighbourRows(self.rows[order], self.similarity[order])


class Neighbour(NamedTuple):
    """An image of an index, how similar it is to a query, and, if the two were verified, the probability of their
    being duplicates."""

    name: str
    similarity: float
    probability: float | None = None


class VectorRows(Protocol):
    """Rows that are searched, as `rows.Rows` has them."""

    def gather(self, rows: Indices) -> Floats:
        """The vectors (n, D) of `rows` (n,), in their order."""
        ...

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, Floats]]:
        """The vectors of the rows from `start` to before `stop`, in blocks (n, D), each with its first row's number."""
        ...

    def visible(self, rows: Indices, limits: Indices) -> NDArray[np.bool_]:
        """bool (n,): whether each of `rows` (n,) is there for a query that sees so many rows, `limits` (n,)."""
        ...


class CandidateGraph(Protocol):
    """An approximate search among the first `rows` rows."""

    @property
    def rows(self) -> int: ...

    def candidates(self, vectors: Floats) -> Indices:
        """int64 (Q, n): rows that may be similar to each of `vectors` (Q, D); −1 where there are fewer."""
        ...

    def layout_candidates(self, layouts: Floats) -> Indices:
        """int64 (Q, n): rows whose layout may agree with each of `layouts` (Q, d); −1 where there are fewer."""
        ...


def search(
    rows: VectorRows,
    queries: Queries,
    criteria: SearchCriteria,
    rescoring: LayoutRescoring | None,
    graph: CandidateGraph | None = None,
) -> list[NeighbourRows]:
    """The neighbours of each query. They hold all rows that meet the criteria, and may hold others; with a graph, only
    those that it names, among the rows that it has."""
    neighbours: list[NeighbourRows] = []
    for start in range(0, len(queries.vectors), QUERIES):
        neighbours += _search_block(rows, queries.block(start), criteria, rescoring, graph)
    return neighbours


def _search_block(
    rows: VectorRows,
    queries: Queries,
    criteria: SearchCriteria,
    rescoring: LayoutRescoring | None,
    graph: CandidateGraph | None,
) -> list[NeighbourRows]:
    shortlist = _Shortlist(rows, queries, criteria, _tolerance(queries.vectors.shape[1], rescoring))
    begin = 0
    if graph is not None and graph.rows:
        begin = graph.rows
        shortlist.add(*_score_candidates(rows, queries.vectors, graph.candidates(queries.vectors), rescoring))
    stop = int(queries.limits.max())
    first_rows = 0 if begin else FIRST_ROWS
    for low, high in ((begin, min(begin + first_rows, stop)), (begin + first_rows, stop)):
        for first_row, block in rows.blocks(low, high):
            query, place, similarity = _pairs_above_cutoff(queries.vectors, block, shortlist.cutoff, rescoring)
            shortlist.add(query, place + first_row, similarity)
    return _exact_neighbours(rows, queries.vectors, shortlist, rescoring)


def similarities_to(vector: Floats, others: Floats, rescoring: LayoutRescoring | None) -> Similarities:
    """Of one embedding (D,) with others (n, D): float64 (n,)."""
    # Repeated, not broadcast: sums over arrays of another memory layout are rounded differently.
    return similarities(np.repeat(vector[None], len(others), axis=0), others, rescoring)


def _tolerance(dimension: int, rescoring: LayoutRescoring | None) -> float:
    """The greatest error of a float32 similarity: D roundings of each product, and lengths that are not quite 1."""
    error = (dimension + 8) * float(np.finfo(np.float32).eps) + 2.1 * LENGTH_TOLERANCE
    return error if rescoring is None else error * 2 * rescoring.steepness


class _Shortlist:
    """Pairs (query, row) that may meet the criteria, by float32 similarities whose error is at most `tolerance`."""

    def __init__(self, rows: VectorRows, queries: Queries, criteria: SearchCriteria, tolerance: float) -> None:
        self._rows, self._queries, self._criteria, self._tolerance = rows, queries, criteria, tolerance
        self.query = self.row = np.empty(0, np.int64)
        self._similarity = np.empty(0, np.float32)
        # A pair below its query's cutoff can't meet the criteria.
        self.cutoff = np.full(len(queries.limits), -np.inf, np.float32)

    def add(self, query: Indices, row: Indices, similarity: Floats) -> None:
        """Pairs (n,) of queries and rows. A query is compared neither with its own row nor with dead or later rows."""
        is_candidate = (similarity >= self.cutoff[query]) & (row != self._queries.own_rows[query])
        query, row, similarity = query[is_candidate], row[is_candidate], similarity[is_candidate]
        is_visible = self._rows.visible(row, self._queries.limits[query])
        if is_visible.any():
            self.query = np.concatenate([self.query, query[is_visible]])
            self.row = np.concatenate([self.row, row[is_visible]])
            self._similarity = np.concatenate([self._similarity, similarity[is_visible]])
            self._prune()

    def _prune(self) -> None:
        """Raise each query's cutoff to its last wanted similarity, less the tolerance, and drop the pairs below it."""
        order = np.lexsort((-self._similarity, self.query))
        begins = np.searchsorted(self.query[order], np.arange(len(self.cutoff) + 1))
        last = begins[:-1] + self._criteria.nearest - 1
        is_full = last < begins[1:]
        last_wanted = self._similarity[order[last[is_full]]]
        if self._criteria.threshold is not None:
            last_wanted = np.minimum(last_wanted, np.float32(self._criteria.threshold))
        self.cutoff[is_full] = last_wanted - np.float32(self._tolerance * 2)
        is_above = self._similarity >= self.cutoff[self.query]
        self.query, self.row, self._similarity = self.query[is_above], self.row[is_above], self._similarity[is_above]


def _pairs_above_cutoff(
    vectors: Floats, block: Floats, cutoff: Floats, rescoring: LayoutRescoring | None
) -> tuple[Indices, Indices, Floats]:
    """Pairs (query, place in the block) that may reach the query's cutoff, and their float32 similarities."""
    if rescoring is None:
        products = vectors @ block.T
        query, place = np.nonzero(products >= cutoff[:, None])
        return query, place, products[query, place]
    split = -layout.DIMENSION
    cosines = vectors[:, :split] @ block[:, :split].T
    agreements = layout.agreements(vectors[:, split:], block[:, split:])
    # Only an agreement above the floor raises a similarity above the cosine: all other pairs are decided by the cosine.
    query, place = np.nonzero((cosines >= cutoff[:, None]) | (agreements > np.float32(rescoring.floor)))
    return query, place, rescoring.similarity(cosines[query, place], agreements[query, place])


def _score_candidates(
    rows: VectorRows, vectors: Floats, candidates: Indices, rescoring: LayoutRescoring | None
) -> tuple[Indices, Indices, Floats]:
    """The candidates (Q, n) of a graph as distinct pairs (query, row), and their float32 similarities."""
    candidates = np.sort(candidates, axis=1)
    is_first = candidates >= 0
    is_first[:, 1:] &= candidates[:, 1:] != candidates[:, :-1]
    query, row = np.nonzero(is_first)[0], candidates[is_first]
    similarity = np.empty(len(row), np.float32)
    for start in range(0, len(row), EXACT_ROWS):
        step = slice(start, start + EXACT_ROWS)
        similarity[step] = _float32_similarities(vectors[query[step]], rows.gather(row[step]), rescoring)
    return query, row, similarity


def _float32_similarities(left: Floats, right: Floats, rescoring: LayoutRescoring | None) -> Floats:
    products = left * right
    if rescoring is None:
        cosines: Floats = products.sum(axis=1)
        return cosines
    split, even = -layout.DIMENSION, -layout.DIMENSION + layout.EVEN
    agreement = products[:, split:even].sum(axis=1) + np.abs(products[:, even:].sum(axis=1))
    return rescoring.similarity(products[:, :split].sum(axis=1), agreement)


def _exact_neighbours(
    rows: VectorRows, vectors: Floats, shortlist: _Shortlist, rescoring: LayoutRescoring | None
) -> list[NeighbourRows]:
    """The shortlist by query, with float64 similarities."""
    order = np.lexsort((shortlist.row, shortlist.query))
    query, row = shortlist.query[order], shortlist.row[order]
    similarity = np.empty(len(row))
    for start in range(0, len(row), EXACT_ROWS):
        step = slice(start, start + EXACT_ROWS)
        similarity[step] = similarities(vectors[query[step]], rows.gather(row[step]), rescoring)
    begins = np.searchsorted(query, np.arange(len(vectors) + 1))
    return [
        NeighbourRows(row[low:high], similarity[low:high])
        for low, high in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True)
    ]
