"""The nearest neighbours of each embedding, by exact similarities. NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import BLOCK, EXACT_ROWS, SimilarityTable, similarities

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]


class Neighbours(NamedTuple):
    """Of each row its K nearest, the most similar first, of equally similar ones the earliest: `row` int64 (N, K) and
    `similarity` float64 (N, K)."""

    row: Indices
    similarity: Similarities


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
    count = min(count, len(others) - (among is None))
    if count <= 0 or not len(embeddings):
        return Neighbours(np.empty((len(embeddings), 0), np.int64), np.empty((len(embeddings), 0)))
    table = SimilarityTable(embeddings, others, rescoring)
    found = []
    for start in range(0, len(embeddings), block):
        rows = slice(start, min(start + block, len(embeddings)))
        row, column = _shortlist(table, rows, len(others), count, block, without_self=among is None)
        exact = np.concatenate(
            [
                similarities(embeddings[row[i : i + EXACT_ROWS]], others[column[i : i + EXACT_ROWS]], rescoring)
                for i in range(0, len(row), EXACT_ROWS)
            ]
        )
        order = np.lexsort((column, -exact, row))
        begins = np.searchsorted(row[order], np.arange(rows.start, rows.stop))
        chosen = order[begins[:, np.newaxis] + np.arange(count)]
        found.append(Neighbours(column[chosen], exact[chosen]))
    return Neighbours(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _shortlist(
    table: SimilarityTable, rows: slice, columns: int, count: int, block: int, *, without_self: bool
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
