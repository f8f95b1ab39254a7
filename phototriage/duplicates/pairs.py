"""Embeddings to similarities, decisions, probabilities and near pairs: NumPy only.

Embeddings are float32 (N, D). Without layout re-scoring they have length 1, and a similarity is their cosine; with it,
the last `layout.DIMENSION` columns describe the layout, and their agreement raises or lowers the cosine of the others.
Similarities are float64 in [−1, 1] and don't depend on an embedding's place in an array: a pair has the same
similarity alone and among thousands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import candidates, layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring

Floats = NDArray[np.float32]
Similarities = NDArray[np.float64]
Indices = NDArray[np.int64]

LENGTH_TOLERANCE = 1e-3  # of an embedding, whose length is 1
BLOCK = 1024  # rows of a block: a product of two takes 4 MB
EXACT_EMBEDDINGS = 300_000  # up to here the exact search is no slower than the graph (RESULTS.md)
EXACT_ROWS = 4096  # pairs whose float64 similarity is computed in one step


class NearPairs(NamedTuple):
    """Pairs in the order of (first, second): `first` < `second`, int64 (P); `similarity` float64 (P)."""

    first: Indices
    second: Indices
    similarity: Similarities


def similarities(left: Floats, right: Floats, rescoring: LayoutRescoring | None = None) -> Similarities:
    """Row by row, the similarity of `left` (N, D) and `right` (N, D): float64 (N), exactly 1 for equal rows."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    if rescoring is None:
        return _cosines(a, b)
    split = -layout.DIMENSION
    return rescoring.similarity(_cosines(a[:, :split], b[:, :split]), layout.agreement(a[:, split:], b[:, split:]))


def _cosines(a: Similarities, b: Similarities) -> Similarities:
    # One root of the product of both squared lengths, not two roots: this makes equal rows give exactly 1.
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    cosines: Similarities = np.clip((a * b).sum(axis=1) / lengths, -1, 1)
    return cosines


def similarity(left: Floats, right: Floats, rescoring: LayoutRescoring | None = None) -> float:
    """Of two embeddings (D,)."""
    return float(similarities(left[np.newaxis], right[np.newaxis], rescoring)[0])


def is_duplicate(similarity: float, threshold: float) -> bool:
    """Whether the similarity is at least the threshold."""
    return similarity >= threshold


def margin(similarity: float, threshold: float) -> float:
    """How far above the threshold (or below it, if negative) a similarity is."""
    return similarity - threshold


def probability(similarity: float, slope: float, intercept: float) -> float:
    """Probability of being duplicates, 1 / (1 + exp(−(slope · similarity + intercept))) (Platt, 1999)."""
    exponent = slope * similarity + intercept
    # Each side by the form whose power can't overflow.
    if exponent >= 0:
        return 1 / (1 + math.exp(-exponent))
    return math.exp(exponent) / (1 + math.exp(exponent))


class SimilarityTable:
    """Similarities of all rows of `left` (N, D) with all of `right` (M, D) in float32, block by block: each is within
    `error` of the one in float64."""

    def __init__(self, left: Floats, right: Floats, rescoring: LayoutRescoring | None) -> None:
        # At most D roundings and that of the lengths, which are near 1.
        self.error = (left.shape[1] + 8) * float(np.finfo(np.float32).eps)
        if rescoring is not None:
            self.error *= 2 * rescoring.steepness  # errors of the cosine and the agreement grow by this factor
        self._embeddings, self._rescoring = (left, right), rescoring
        split = left.shape[1] if rescoring is None else left.shape[1] - layout.DIMENSION
        self._left, self._right = _Parts.of(left, split), _Parts.of(right, split)

    def block(self, rows: slice, columns: slice) -> Floats:
        """(rows, columns)."""
        left, right = self._left, self._right
        cosines: Floats = left.vectors[rows] @ right.vectors[columns].T
        cosines /= np.outer(left.lengths[rows], right.lengths[columns])
        if self._rescoring is None:
            return cosines
        return self._rescoring.similarity(cosines, layout.agreements(left.layouts[rows], right.layouts[columns]))

    def exact(self, row: Indices, column: Indices) -> Similarities:
        """Of pairs (P,): float64 (P,)."""
        left, right = self._embeddings
        steps = [slice(start, start + EXACT_ROWS) for start in range(0, len(row), EXACT_ROWS)]
        exact = [similarities(left[row[step]], right[column[step]], self._rescoring) for step in steps]
        return np.concatenate([np.empty(0), *exact])


class _Parts(NamedTuple):
    """Of embeddings: what the graph gave, its lengths, and the layouts."""

    vectors: Floats
    lengths: Floats
    layouts: Floats

    @classmethod
    def of(cls, embeddings: Floats, split: int) -> _Parts:
        vectors = np.ascontiguousarray(embeddings[:, :split], np.float32)
        layouts = np.ascontiguousarray(embeddings[:, split:], np.float32)
        return cls(vectors, np.linalg.norm(vectors, axis=1), layouts)


def near_pairs(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None = None, block: int = BLOCK
) -> NearPairs:
    """All pairs among `embeddings` (N, D) whose similarity is at least `threshold`: an exact search.

    Beside the pairs themselves, memory holds a few products of two blocks of `block` rows, whatever N is.
    """
    return _concatenate(_near_blocks(np.ascontiguousarray(embeddings, np.float32), threshold, rescoring, block))


def near_pairs_of_many(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None = None, exact: int = EXACT_EMBEDDINGS
) -> NearPairs:
    """As `near_pairs`. Beyond `exact` embeddings, where the exact search would take too long, only pairs in which one
    is among the other's nearest neighbours (`candidates`), if usearch is installed."""
    if len(embeddings) <= exact or not candidates.available():
        return near_pairs(embeddings, threshold, rescoring)
    pairs = candidates.find_candidates(embeddings, rescoring is not None)
    return _concatenate(
        _filter_exactly(
            embeddings,
            pairs.first[start : start + EXACT_ROWS],
            pairs.second[start : start + EXACT_ROWS],
            threshold,
            rescoring,
        )
        for start in range(0, len(pairs.first), EXACT_ROWS)
    )


def _concatenate(blocks: Iterable[NearPairs]) -> NearPairs:
    parts = list(blocks)
    if not parts:
        return NearPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    first, second, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((second, first))
    return NearPairs(first[order], second[order], similarity[order])


def _near_blocks(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None, block: int
) -> Iterator[NearPairs]:
    # The table only drops pairs that can't reach the threshold; those that remain are computed again in float64.
    table = SimilarityTable(embeddings, embeddings, rescoring)
    for i in range(0, len(embeddings), block):
        for j in range(i, len(embeddings), block):
            approximate = table.block(slice(i, i + block), slice(j, j + block))
            may_be_near = approximate >= np.float32(threshold - table.error)
            first, second = np.nonzero(np.triu(may_be_near, 1) if i == j else may_be_near)
            for start in range(0, len(first), EXACT_ROWS):
                step = slice(start, start + EXACT_ROWS)
                yield _filter_exactly(embeddings, first[step] + i, second[step] + j, threshold, rescoring)


def _filter_exactly(
    embeddings: Floats, first: Indices, second: Indices, threshold: float, rescoring: LayoutRescoring | None
) -> NearPairs:
    """Those of the candidate pairs (P,) whose float64 similarity reaches the threshold."""
    exact = similarities(embeddings[first], embeddings[second], rescoring)
    is_near = exact >= threshold
    return NearPairs(first[is_near], second[is_near], exact[is_near])
