"""The nearest neighbours of each embedding, by exact similarities. NumPy only."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import BLOCK, SimilarityTable

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]


class Neighbours(NamedTuple):
    """Of each row its K nearest, the most similar first, of equally similar ones the earliest: `row` int64 (N, K) and
    `similarity` float64 (N, K)."""

    row: Indices
    similarity: Similarities


class Table(Protocol):
    """How alike rows and columns are: `block` in float32, within `error` of `exact`."""

    error: float

    def block(self, rows: slice, columns: slice) -> Floats:
        """(rows, columns)."""
        ...

    def exact(self, row: Indices, column: Indices) -> Similarities:
        """Of pairs (P,): float64 (P,)."""
        ...


def nearest(
    embeddings: Floats,
    count: int,
    rescoring: LayoutRescoring | None = None,
    *,
    among: Floats | None = None,
    block: int = BLOCK,
) -> Neighbours:
    """Of each of `embeddings` (N, D) its `count` nearest among the others, or among all of `among` (M, D); fewer where
    there are fewer.

    Exact, so that the result does not depend on `block`. Beside the result, memory holds a few tables of `block` rows
    and columns.
    """
    others = embeddings if among is None else among
    table, shape = SimilarityTable(embeddings, others, rescoring), (len(embeddings), len(others))
    return nearest_in(table, shape, count, without_self=among is None, block=block)


def nearest_in(
    table: Table, shape: tuple[int, int], count: int, *, without_self: bool, block: int = BLOCK
) -> Neighbours:
    """As `nearest`, in any table of that shape; `without_self`: the column of a row's own number doesn't count."""
    height, width = shape
    count = min(count, width - without_self)
    if count <= 0 or not height:
        return Neighbours(np.empty((height, 0), np.int64), np.empty((height, 0)))
    found = []
    for start in range(0, height, block):
        rows = slice(start, min(start + block, height))
        row, column = _shortlist(table, rows, width, count, block, without_self)
        exact = table.exact(row, column)
        order = np.lexsort((column, -exact, row))
        begins = np.searchsorted(row[order], np.arange(rows.start, rows.stop))
        chosen = order[begins[:, np.newaxis] + np.arange(count)]
        found.append(Neighbours(column[chosen], exact[chosen]))
    return Neighbours(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _shortlist(
    table: Table, rows: slice, columns: int, count: int, block: int, without_self: bool
) -> tuple[Indices, Indices]:
    """Pairs (row, column) among which are the `count` nearest of each row."""
    numbers = np.arange(rows.start, rows.stop)
    best = np.full((len(numbers), count), -np.inf, np.float32)
    kept: list[tuple[Indices, Indices, Floats]] = []
    for start in range(0, columns, block):
        values = table.block(rows, slice(start, min(start + block, columns)))
        if without_self:
            own = numbers - start
            inside = (own >= 0) & (own < values.shape[1])
            values[np.flatnonzero(inside), own[inside]] = -np.inf
        best = np.partition(np.hstack([best, values]), -count, axis=1)[:, -count:]
        place, column = np.nonzero((values >= _cutoff(best, table.error)) & np.isfinite(values))
        kept.append((place, column + start, values[place, column]))
    places, others, similar = (np.concatenate(part) for part in zip(*kept, strict=True))
    # The cutoffs have risen since the first blocks.
    may_be_near = similar >= _cutoff(best, table.error)[places, 0]
    return places[may_be_near] + rows.start, others[may_be_near]


def _cutoff(best: Floats, error: float) -> Floats:
    """(n, 1): below it a pair can't be among the row's nearest, whose least is as far off as itself."""
    cutoff: Floats = best.min(axis=1, keepdims=True) - np.float32(2 * error)
    return cutoff
