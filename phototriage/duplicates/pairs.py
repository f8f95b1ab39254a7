"""Embeddings to similarity, decision, probability and groups of duplicates: NumPy only.

Embeddings are float32 (N, D). Without layout re-scoring they have length 1, and a similarity is their cosine; with one,
the last `layout.DIMENSION` columns are the layout, by which the cosine of the others is raised or lowered. Similarities
are float64 in [−1, 1], and don't depend on where in an array an embedding stands, so a pair gets one answer, alone or
among thousands.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
EXACT_EMBEDDINGS = 300_000  # up to which comparing all takes no longer (RESULTS.md)
EXACT_ROWS = 4096  # pairs whose similarity is worked out at once in float64


class NearPairs(NamedTuple):
    """Pairs in the order of (first, second): `first` < `second`, int64 (P); `similarity` float64 (P)."""

    first: Indices
    second: Indices
    similarity: Similarities


@dataclass(frozen=True)
class Group:
    """Indices of images that are all duplicates of one another, ascending, and the least similarity among them."""

    members: tuple[int, ...]
    minimum_similarity: float


def similarities(left: Floats, right: Floats, rescoring: LayoutRescoring | None = None) -> Similarities:
    """Of each row of `left` (N, D) with that row of `right` (N, D): float64 (N), exactly 1 for equal rows."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    if rescoring is None:
        return _cosines(a, b)
    seen, placed = slice(None, -layout.DIMENSION), slice(-layout.DIMENSION, None)
    return rescoring.similarity(_cosines(a[:, seen], b[:, seen]), layout.agreement(a[:, placed], b[:, placed]))


def _cosines(a: Similarities, b: Similarities) -> Similarities:
    # The root of the product of squares, not the product of roots: for equal rows it is their square exactly.
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    cosines: Similarities = np.clip((a * b).sum(axis=1) / lengths, -1, 1)
    return cosines


def similarity(left: Floats, right: Floats, rescoring: LayoutRescoring | None = None) -> float:
    """Of two embeddings (D)."""
    return float(similarities(left[np.newaxis], right[np.newaxis], rescoring)[0])


def is_duplicate(similarity: float, threshold: float) -> bool:
    """From the threshold on, it included."""
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


def near_pairs(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None = None, block: int = BLOCK
) -> NearPairs:
    """All pairs among `embeddings` (N, D) whose similarity is at least `threshold`: an exact search.

    Beyond the pairs themselves it takes memory for a few products of two blocks of rows, whatever N is.
    """
    return _joined(_near_blocks(np.ascontiguousarray(embeddings, np.float32), threshold, rescoring, block))


def near_pairs_of_many(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None = None, exact: int = EXACT_EMBEDDINGS
) -> NearPairs:
    """As `near_pairs`, but of more than `exact` embeddings only those pairs of which one is among the other's nearest,
    if usearch is installed: where the exact search would take too long."""
    if len(embeddings) <= exact or not candidates.available():
        return near_pairs(embeddings, threshold, rescoring)
    found = candidates.find_candidates(embeddings, rescoring is not None)
    return _joined(
        _exact(
            embeddings,
            found.first[start : start + EXACT_ROWS],
            found.second[start : start + EXACT_ROWS],
            threshold,
            rescoring,
        )
        for start in range(0, len(found.first), EXACT_ROWS)
    )


def _joined(blocks: Iterable[NearPairs]) -> NearPairs:
    parts = list(blocks)
    if not parts:
        return NearPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    first, second, found = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((second, first))
    return NearPairs(first[order], second[order], found[order])


def _near_blocks(
    embeddings: Floats, threshold: float, rescoring: LayoutRescoring | None, block: int
) -> Iterator[NearPairs]:
    # The float32 product only sorts out what can't reach the threshold. It is off by at most D roundings, and by the
    # lengths, which float32 keeps near 1; what it lets through is then worked out in float64.
    slack = (embeddings.shape[1] + 8) * float(np.finfo(np.float32).eps)
    split = embeddings.shape[1] if rescoring is None else embeddings.shape[1] - layout.DIMENSION
    seen, placed = np.ascontiguousarray(embeddings[:, :split]), np.ascontiguousarray(embeddings[:, split:])
    if rescoring is not None:
        slack *= 2 * rescoring.steepness  # by which errors of the cosine and the agreement grow
    lengths = np.linalg.norm(seen, axis=1)
    for i in range(0, len(embeddings), block):
        for j in range(i, len(embeddings), block):
            rows, columns = slice(i, i + block), slice(j, j + block)
            near = seen[rows] @ seen[columns].T
            near /= np.outer(lengths[rows], lengths[columns])
            if rescoring is not None:
                near = rescoring.similarity(near, layout.agreements(placed[rows], placed[columns]))
            reached = near >= np.float32(threshold - slack)
            first, second = np.nonzero(np.triu(reached, 1) if i == j else reached)
            for start in range(0, len(first), EXACT_ROWS):
                part = slice(start, start + EXACT_ROWS)
                yield _exact(embeddings, first[part] + i, second[part] + j, threshold, rescoring)


def _exact(
    embeddings: Floats, first: Indices, second: Indices, threshold: float, rescoring: LayoutRescoring | None
) -> NearPairs:
    found = similarities(embeddings[first], embeddings[second], rescoring)
    reached = found >= threshold
    return NearPairs(first[reached], second[reached], found[reached])


def groups(pairs: NearPairs) -> list[Group]:
    """Groups of two or more by complete linkage: all members of a group are near each other, pair by pair.

    The two clusters that are most similar are merged first, where the similarity of clusters is the least among
    their cross pairs, and two with a cross pair that is not in `pairs` never are. So a chain of images, each like
    the next, does not become one group. Of equally similar ones those with the smallest index come first. Groups
    are in the order of their smallest member. Memory and time grow with the pairs, not with N².
    """
    # A cluster goes by its smallest member. `links[a][b]` is there only if every cross pair of a and b is.
    links: dict[int, dict[int, float]] = {}
    for a, b, value in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), strict=True):
        links.setdefault(a, {})[b] = value
        links.setdefault(b, {})[a] = value
    members, least = {a: [a] for a in links}, dict.fromkeys(links, math.inf)
    waiting = [(-value, a, b) for a, linked in links.items() for b, value in linked.items() if a < b]
    heapq.heapify(waiting)
    while waiting:
        negative, a, b = heapq.heappop(waiting)
        if links.get(a, {}).get(b) != -negative:  # one of the two was merged since, or their link is weaker now
            continue
        members[a] += members.pop(b)
        least[a] = min(least[a], least.pop(b), -negative)
        for other, value in _merge(links, a, b).items():
            heapq.heappush(waiting, (-value, min(a, other), max(a, other)))
    return [Group(tuple(sorted(members[a])), least[a]) for a in sorted(members) if len(members[a]) > 1]


def _merge(links: dict[int, dict[int, float]], a: int, b: int) -> dict[int, float]:
    """Let cluster `a` take in `b`; it keeps the links that both had, at the weaker one's similarity. Returns them."""
    of_a, of_b = links.pop(a), links.pop(b)
    for other in of_a:
        links.get(other, {}).pop(a, None)
    for other in of_b:
        links.get(other, {}).pop(b, None)
    kept = {other: min(value, of_b[other]) for other, value in of_a.items() if other in of_b}
    for other, value in kept.items():
        links[other][a] = value
    links[a] = kept
    return kept
