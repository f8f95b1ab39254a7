"""Candidate pairs of many images to those that verification confirms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates.pairs import NearPairs, similarities
from phototriage.models.embedder import Embedder
from phototriage.triage.pair_processes import Comparisons, EncodedPair

Indices = NDArray[np.int64]
Pair = tuple[int, int]

MOST_OF_A_COMPONENT = 20_000  # pairs of images that hang together, which are verified beside the candidates


class VerifiedPairs(NamedTuple):
    """The pairs that are duplicates, and how many were verified; `left_out`: images that hang together with others, but
    not all of whose pairs were verified, since they are too many."""

    pairs: NearPairs
    verified: int
    left_out: int


def verified_pairs(
    model: Embedder,
    vectors: NDArray[np.float32],
    signatures: Sequence[bytes],
    candidates: tuple[Indices, Indices],
    least: float,
    processes: int,
    step: Callable[[int], None],
) -> VerifiedPairs:
    """Those of the candidates (P,), (P,) that are duplicates from a probability of `least` on, and whatever other pairs
    of images that hang together by these are.

    vectors (N, D), signatures: of N images; equal signatures are one image and are compared once. `step` is called with
    the number of pairs done since. Raises ValueError for a model that doesn't verify.
    """
    if model.verifier is None:
        raise ValueError(f"{model.name} doesn't verify")
    first_of: dict[bytes, int] = {}
    own = np.array([first_of.setdefault(encoded, place) for place, encoded in enumerate(signatures)], np.int64)
    with Comparisons(model.verifier, least, processes) as comparisons:
        comparison = _Comparison(comparisons, signatures, step)
        comparison.compare(_distinct(own[candidates[0]], own[candidates[1]]))
        left_out, together = 0, []
        for members in components(comparison.same):
            missing = [pair for pair in combinations(members, 2) if pair not in comparison.answers]
            if len(missing) > MOST_OF_A_COMPONENT:
                left_out += len(members)
            else:
                together += missing
        comparison.compare(together, screened=False)
        same = _with_equal_ones(comparison, own)
    first, second = (np.array(side, np.int64) for side in (zip(*same, strict=True) if same else ((), ())))
    similar = similarities(vectors[first], vectors[second], model.manifest.layout_rescoring)
    return VerifiedPairs(NearPairs(first, second, similar), len(comparison.answers), left_out)


def components(pairs: Sequence[Pair]) -> list[list[int]]:
    """What hangs together by the pairs: lists of two or more places, ascending, in the order of their first."""
    root: dict[int, int] = {}

    def find(place: int) -> int:
        while root.setdefault(place, place) != place:
            root[place] = place = root[root[place]]
        return place

    for a, b in pairs:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    members = defaultdict(list)
    for place in sorted(root):
        members[find(place)].append(place)
    return list(members.values())


def _distinct(first: Indices, second: Indices) -> list[Pair]:
    """Each pair once, the smaller place first, in their order, which keeps an image's pairs together."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs = np.unique(np.stack([low, high], axis=1)[low < high], axis=0)
    return [(int(a), int(b)) for a, b in pairs]


class _Comparison:
    """What was compared, and what came of it."""

    def __init__(self, comparisons: Comparisons, signatures: Sequence[bytes], step: Callable[[int], None]) -> None:
        self.answers: dict[Pair, bool] = {}
        self._comparisons, self._signatures, self._step = comparisons, signatures, step

    @property
    def same(self) -> list[Pair]:
        return [pair for pair, is_same in self.answers.items() if is_same]

    def compare(self, pairs: Sequence[Pair], screened: bool = True) -> None:
        """`screened`: refuse most at a first look, where few are copies."""
        done = 0
        for answers in self._comparisons.answers([self._encoded(pair) for pair in pairs], screened):
            self.answers.update(zip(pairs[done : done + len(answers)], answers, strict=True))
            self._step(len(answers))
            done += len(answers)

    def is_one_image(self, place: int) -> bool:
        """Whether an image is a duplicate of itself: not where there is nothing to compare."""
        ((answer,),) = self._comparisons.answers([self._encoded((place, place))], screened=False)
        return answer

    def _encoded(self, pair: Pair) -> EncodedPair:
        return self._signatures[pair[0]], self._signatures[pair[1]]


def _with_equal_ones(comparison: _Comparison, own: Indices) -> list[Pair]:
    """The pairs that are the same, ascending, with all images of equal signatures in the place of the one that was
    compared."""
    equal = defaultdict(list)
    for place, first in enumerate(own.tolist()):
        equal[first].append(place)
    found = {
        (min(left, right), max(left, right)) for a, b in comparison.same for left in equal[a] for right in equal[b]
    }
    for first, places in equal.items():
        if len(places) > 1 and comparison.is_one_image(first):
            found.update(combinations(places, 2))
    return sorted(found)
