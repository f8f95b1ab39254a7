"""Which pairs of a collection are worth a closer look: candidates that verification then decides about.

A pair is nominated if one of the two is among the other's nearest, and if besides they are nearly equal, or more alike
than they are with the rest (`background`); or if one, turned, has the layout of the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.background import LAST, beyond_common, in_common
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.neighbours import Neighbours, nearest, nearest_in
from phototriage.duplicates.pairs import BLOCK, EXACT_ROWS

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]


class Rule(NamedTuple):
    """When a pair is nominated; measured by `python -m benchmarks.candidates`."""

    nearest: int = 8  # neighbours of each image at most, by similarity, and as many by turned layout
    beyond: float = 0.12  # similarity, less what both have in common with others, at least
    similar: float = 0.95  # or the similarity alone: many copies of one image are what they have in common
    turned: float = 0.9  # or the agreement of one's layout with the other's, turned


class Nominated(NamedTuple):
    """Pairs in the order of (first, second), each once: int64 (P,) each, `first` < `second`. `is_turned` (P,): by
    their turned layout."""

    first: Indices
    second: Indices
    is_turned: NDArray[np.bool_]


def nominate(
    embeddings: Floats, rescoring: LayoutRescoring | None = None, rule: Rule | None = None, block: int = BLOCK
) -> Nominated:
    """The pairs among `embeddings` (N, D) that are worth verification: at most `rule.nearest` · N, and as many
    turned ones.

    Exact, and the same whatever the `block`. Turned copies are found where there is a `rescoring`, with layouts.
    """
    rule = rule or Rule()
    total = max(len(embeddings), 1)
    alike = _alike(embeddings, rescoring, rule, block)
    turned = np.empty(0, np.int64) if rescoring is None else _turned(embeddings, rule, block)
    codes = np.union1d(alike, turned)
    return Nominated(codes // total, codes % total, np.isin(codes, turned))


def _alike(embeddings: Floats, rescoring: LayoutRescoring | None, rule: Rule, block: int) -> Indices:
    """Codes of pairs by similarity: smaller row · N + larger row."""
    neighbours = nearest(embeddings, max(rule.nearest, LAST), rescoring, block=block)
    common = in_common(neighbours.similarity)
    row, neighbour, similarity = _pairs(neighbours, rule.nearest)
    beyond = beyond_common(similarity, common, row, neighbour)
    chosen = (similarity >= rule.similar) | (beyond >= rule.beyond)
    return _codes(row[chosen], neighbour[chosen], len(embeddings))


def _turned(embeddings: Floats, rule: Rule, block: int) -> Indices:
    """Codes of pairs by turned layout."""
    layouts = np.ascontiguousarray(embeddings[:, -layout.DIMENSION :])
    shape = (len(layouts), len(layouts))
    neighbours = nearest_in(_TurnedTable(layouts), shape, rule.nearest, without_self=True, block=block)
    row, neighbour, agreement = _pairs(neighbours, rule.nearest)
    chosen = agreement >= rule.turned
    return _codes(row[chosen], neighbour[chosen], len(layouts))


class _TurnedTable:
    """`layout.turned_agreement` of each two of `layouts` (N, DIMENSION)."""

    error = 2 * (layout.DIMENSION + 8) * float(np.finfo(np.float32).eps)

    def __init__(self, layouts: Floats) -> None:
        self._layouts = layouts

    def block(self, rows: slice, columns: slice) -> Floats:
        return layout.turned_agreements(self._layouts[rows], self._layouts[columns])

    def exact(self, row: Indices, column: Indices) -> Similarities:
        layouts = self._layouts
        steps = [slice(start, start + EXACT_ROWS) for start in range(0, len(row), EXACT_ROWS)]
        exact = [
            layout.turned_agreement(layouts[row[step]].astype(np.float64), layouts[column[step]].astype(np.float64))
            for step in steps
        ]
        return np.concatenate([np.empty(0), *exact])


def _pairs(neighbours: Neighbours, count: int) -> tuple[Indices, Indices, Similarities]:
    """Each row with each of its `count` nearest: (P,) each."""
    near, similarity = neighbours.row[:, :count], neighbours.similarity[:, :count]
    return np.repeat(np.arange(len(near)), near.shape[1]), near.ravel(), similarity.ravel()


def _codes(row: Indices, other: Indices, total: int) -> Indices:
    codes: Indices = np.minimum(row, other) * total + np.maximum(row, other)
    return codes
