"""Which earlier images a new one is verified against, and what comes of it.

The rule is `duplicates.nomination`'s, for one image at a time: what the others have in common with theirs isn't known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.background import LAST, in_common
from phototriage.index.pair_verifier import PairVerifier
from phototriage.index.rows import Rows
from phototriage.index.search import QUERIES, CandidateGraph, NeighbourRows, Queries, VectorRows

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

# Of the nearest so many, by similarity and again by turned layout. A similarity has to exceed by BEYOND what the image
# has in common with its neighbours of lower ranks, or to reach the threshold at which it would decide alone.
NEAREST, BEYOND, TURNED = 3, 0.08, 0.9
NEIGHBOURS = LAST  # of an image, that have to be known
LAYOUT = slice(-layout.DIMENSION, None)  # columns
TOLERANCE = 1e-4  # by which a float32 agreement may be too small


class VerifiedRows(NamedTuple):
    """Rows of an index that were verified against an image, ascending int64 (n,), and the probability of each of being
    a duplicate, float64 (n,)."""

    rows: Indices
    probability: NDArray[np.float64]

    def duplicates(self, least: float) -> VerifiedRows:
        """Those from a probability of `least` on."""
        kept = self.probability >= least
        return VerifiedRows(self.rows[kept], self.probability[kept])


def verify(
    rows: Rows, nominees: Sequence[Indices], signatures: Sequence[bytes], verifier: PairVerifier
) -> list[VerifiedRows]:
    """Each image's nominees, against its signature."""
    pairs = [
        (signature, [rows.signature(row) for row in rows_of_image.tolist()])
        for signature, rows_of_image in zip(signatures, nominees, strict=True)
    ]
    probabilities = verifier.probabilities_of_all(pairs)
    return [VerifiedRows(*both) for both in zip(nominees, probabilities, strict=True)]


def nominated(
    rows: VectorRows,
    queries: Queries,
    neighbours: Sequence[NeighbourRows],
    threshold: float,
    with_layout: bool,
    graph: CandidateGraph | None,
) -> list[Indices]:
    """For each query the rows, ascending, that are worth verification: at most 2 · NEAREST. `neighbours`: at least its
    NEIGHBOURS most similar rows. Turned copies are found where the vectors have a layout as their last columns."""
    turned = _turned(rows, queries, graph) if with_layout else [np.empty(0, np.int64)] * len(neighbours)
    return [np.union1d(_alike(near, threshold), others) for near, others in zip(neighbours, turned, strict=True)]


def _alike(neighbours: NeighbourRows, threshold: float) -> Indices:
    best = neighbours.best(NEIGHBOURS)
    near, similarity = best.rows[:NEAREST], best.similarity[:NEAREST]
    common = in_common(best.similarity[np.newaxis])[0]
    alike: Indices = near[(similarity - common >= BEYOND) | (similarity >= threshold)]
    return alike


def _turned(rows: VectorRows, queries: Queries, graph: CandidateGraph | None) -> list[Indices]:
    """The rows whose layout is the query's, turned by a quarter or half or upside down."""
    found: list[Indices] = []
    for start in range(0, len(queries.vectors), QUERIES):
        found += _turned_block(rows, queries.block(start), graph)
    return found


def _turned_block(rows: VectorRows, queries: Queries, graph: CandidateGraph | None) -> list[Indices]:
    layouts = np.ascontiguousarray(queries.vectors[:, LAYOUT])
    turns = layout.turned(layouts)
    none = np.empty(0, np.int64)
    pairs: list[tuple[Indices, Indices]] = [(none, none)]
    begin = 0
    if graph is not None and graph.rows:
        begin = graph.rows
        for turn in turns:
            candidates = graph.layout_candidates(turn)
            query, place = np.nonzero(candidates >= 0)
            pairs.append((query, candidates[query, place]))
    for first, block in rows.blocks(begin, int(queries.limits.max())):
        for turn in turns:
            query, place = np.nonzero(layout.agreements(turn, block[:, LAYOUT]) >= np.float32(TURNED - TOLERANCE))
            pairs.append((query, place + first))
    query, row = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return _best_turned(rows, queries, layouts, *np.unique(np.stack([query, row]), axis=1))


def _best_turned(rows: VectorRows, queries: Queries, layouts: Floats, query: Indices, row: Indices) -> list[Indices]:
    """Of pairs (n,) those that may be compared and agree, the NEAREST best of each query."""
    may = (row != queries.own_rows[query]) & rows.visible(row, queries.limits[query])
    query, row = query[may], row[may]
    others = rows.gather(row)[:, LAYOUT]
    agreement = layout.turned_agreement(layouts[query].astype(np.float64), others.astype(np.float64))
    order = np.lexsort((row, -agreement, query))
    order = order[agreement[order] >= TURNED]
    begins = np.searchsorted(query[order], np.arange(len(layouts) + 1)).tolist()
    return [row[order[low : min(low + NEAREST, high)]] for low, high in pairwise(begins)]
