"""Groups by hand-worked cases, and against the definition written out in full."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.pairs import NearPairs, near_pairs, similarity
from tests.duplicates.unit_vectors import circle, cosine, unit_vectors

Floats = NDArray[np.float32]


def grouped(embeddings: Floats, threshold: float) -> list[tuple[int, ...]]:
    return [group.members for group in groups(near_pairs(embeddings, threshold))]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_for_a_group(n: int) -> None:
    assert groups(near_pairs(circle(*range(n)).reshape(n, 2), -1)) == []


def test_a_chain_is_not_one_group() -> None:
    # Each is within 20° of the next, but not of the one after it.
    chain = circle(0, 18, 33, 51)
    assert near_pairs(chain, cosine(20)).first.tolist() == [0, 1, 2]
    # The nearest two, 15° apart, go first, and neither end is near both of them.
    assert grouped(chain, cosine(20)) == [(1, 2)]


def test_the_nearest_are_merged_first() -> None:
    assert grouped(circle(0, 10, 15), cosine(12)) == [(1, 2)]
    assert grouped(circle(0, 5, 15), cosine(12)) == [(0, 1)]


def test_of_equally_near_ones_the_first_are_merged() -> None:
    # Given as numbers, since the cosines of equal angles differ in their last bit.
    pairs = NearPairs(np.array([0, 1, 2]), np.array([1, 2, 3]), np.array([0.9, 0.9, 0.9]))
    assert [group.members for group in groups(pairs)] == [(0, 1), (2, 3)]


def test_a_group_states_its_least_similarity() -> None:
    pairs = NearPairs(np.array([1, 1, 4, 2]), np.array([4, 7, 7, 3]), np.array([0.9, 0.8, 0.95, 0.7]))
    assert groups(pairs) == [Group((1, 4, 7), 0.8), Group((2, 3), 0.7)]


def test_merging_two_groups_needs_every_cross_pair() -> None:
    first, second = np.array([0, 2, 0, 0, 1]), np.array([1, 3, 2, 3, 2])
    values = np.array([0.99, 0.98, 0.9, 0.9, 0.9])
    assert [group.members for group in groups(NearPairs(first, second, values))] == [(0, 1), (2, 3)]
    whole = NearPairs(np.append(first, 1), np.append(second, 3), np.append(values, 0.85))
    assert groups(whole) == [Group((0, 1, 2, 3), 0.85)]


def test_copies_of_one_image_are_one_group() -> None:
    assert groups(near_pairs(np.repeat(circle(33), 40, axis=0), 0.9)) == [Group(tuple(range(40)), 1.0)]


def reference(embeddings: Floats, threshold: float) -> list[Group]:
    """Complete linkage from its definition: of all pairs of clusters the one whose least similar cross pair is the
    most similar, as long as that reaches the threshold; the first in the order of the smallest members."""
    table = [[similarity(a, b) for b in embeddings] for a in embeddings]
    clusters: list[tuple[int, ...]] = [(i,) for i in range(len(embeddings))]
    while True:
        best: tuple[float, tuple[int, ...], tuple[int, ...]] | None = None
        for a, b in combinations(sorted(clusters), 2):
            link = min(table[i][j] for i in a for j in b)
            if link >= threshold and (best is None or link > best[0]):
                best = (link, a, b)
        if best is None:
            break
        clusters = [cluster for cluster in clusters if cluster not in best[1:]] + [tuple(sorted(best[1] + best[2]))]
    return [
        Group(members, min(table[i][j] for i, j in combinations(members, 2)))
        for members in sorted(clusters)
        if len(members) > 1
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.97, 0.85, 0.5])
def test_groups_are_those_of_the_definition(seed: int, threshold: float) -> None:
    vectors = unit_vectors(40, 6, 0.35, seed)
    vectors[7] = vectors[31]  # and a tie at 1
    expected = reference(vectors, threshold)
    assert expected
    assert groups(near_pairs(vectors, threshold, block=16)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_images_changes_nothing(seed: int) -> None:
    vectors = unit_vectors(120, 9, 0.35, seed=20)
    order = np.random.default_rng(seed).permutation(len(vectors))
    shuffled = [
        (sorted(int(order[i]) for i in group.members), group.minimum_similarity)
        for group in groups(near_pairs(np.ascontiguousarray(vectors[order]), 0.8, block=32))
    ]
    expected = [(list(group.members), group.minimum_similarity) for group in groups(near_pairs(vectors, 0.8))]
    assert sorted(shuffled) == expected
    assert max(len(members) for members, _ in expected) > 2
