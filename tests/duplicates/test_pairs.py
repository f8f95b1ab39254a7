"""Groups and pairs by hand-worked cases, and against the definition written out in full."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import (
    Group,
    NearPairs,
    groups,
    is_duplicate,
    margin,
    near_pairs,
    probability,
    similarities,
    similarity,
)

Floats = NDArray[np.float32]


def circle(*degrees: float) -> Floats:
    """Unit vectors (N, 2) at those angles: the similarity of two is the cosine of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def grouped(embeddings: Floats, threshold: float) -> list[tuple[int, ...]]:
    return [group.members for group in groups(near_pairs(embeddings, threshold))]


def unit_vectors(n: int, clusters: int, spread: float, seed: int) -> Floats:
    """(n, 8): points about a few directions, so that there are groups and chains."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, 8))
    points = centres[rng.integers(0, clusters, n)] + spread * rng.standard_normal((n, 8))
    vectors: Floats = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([1, 0], [1, 0], 1), ([1, 0], [-1, 0], -1), ([1, 0], [0, 1], 0), ([0.6, 0.8], [0.8, 0.6], 0.96)],
)
def test_similarity_by_hand(left: list[float], right: list[float], expected: float) -> None:
    assert similarity(np.array(left, np.float32), np.array(right, np.float32)) == pytest.approx(expected, abs=1e-7)


def test_equal_embeddings_have_a_similarity_of_exactly_1() -> None:
    vectors = unit_vectors(200, 200, 1, seed=0)
    assert (similarities(vectors, vectors) == 1).all()
    # Lengths that rounding left a little off don't count.
    assert similarity(vectors[0], vectors[0] * np.float32(0.9995)) == pytest.approx(1, abs=1e-7)


def test_decision_and_margin_at_the_threshold() -> None:
    assert is_duplicate(0.75, 0.75)
    assert not is_duplicate(0.7499, 0.75)
    assert margin(0.5, 0.75) == -0.25
    assert margin(1.0, 0.75) == 0.25


def test_probability_by_hand() -> None:
    assert probability(0.8, 10, -8) == 0.5
    assert probability(1, 2, math.log(3) - 2) == pytest.approx(0.75)
    assert probability(0, 2, -math.log(3)) == pytest.approx(0.25)


@pytest.mark.parametrize(("similarity", "expected"), [(1, 1.0), (-1, 0.0)])
def test_probability_of_a_steep_slope_does_not_overflow(similarity: float, expected: float) -> None:
    assert probability(similarity, 1e6, 0) == expected


def test_near_pairs_by_hand() -> None:
    pairs = near_pairs(circle(0, 50, 10, 80), cosine(35))
    assert pairs.first.tolist() == [0, 1]
    assert pairs.second.tolist() == [2, 3]
    np.testing.assert_allclose(pairs.similarity, [cosine(10), cosine(30)], atol=1e-7)


def test_a_pair_at_the_threshold_is_near() -> None:
    pairs = near_pairs(np.array([[1, 0], [1, 0], [0, 1]], np.float32), 1.0)
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist()) == ([0], [1], [1.0])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_for_a_pair(n: int) -> None:
    pairs = near_pairs(circle(*range(n)).reshape(n, 2), -1)
    assert len(pairs.first) == len(pairs.second) == len(pairs.similarity) == 0
    assert groups(pairs) == []


@pytest.mark.parametrize("block", [1, 7, 64, 100])
@pytest.mark.parametrize("threshold", [0.95, 0.5, -0.2])
def test_near_pairs_are_those_of_all_pairs_whatever_the_block(block: int, threshold: float) -> None:
    vectors = unit_vectors(64, 5, 0.3, seed=1)
    expected = [
        (i, j, similarity(vectors[i], vectors[j]))
        for i, j in combinations(range(64), 2)
        if similarity(vectors[i], vectors[j]) >= threshold
    ]
    assert expected
    assert (
        list(zip(*(column.tolist() for column in near_pairs(vectors, threshold, block=block)), strict=True)) == expected
    )


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("threshold", [0.95, 0.5, -0.2])
def test_near_pairs_with_layout_rescoring_are_those_of_all_pairs(block: int, threshold: float) -> None:
    rescoring = LayoutRescoring(floor=0.2, weight=0.9, doubt=0.1)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)[rng.integers(0, 8, 64)]
    images[1::2] = images[1::2, :, ::-1]
    images[0] = 99  # a plain surface, which has no layout
    vectors = np.hstack([unit_vectors(64, 5, 0.3, seed=1), layout.describe(images)])
    expected = [
        (i, j, similarity(vectors[i], vectors[j], rescoring))
        for i, j in combinations(range(64), 2)
        if similarity(vectors[i], vectors[j], rescoring) >= threshold
    ]
    seen = np.ascontiguousarray(vectors[:, : -layout.DIMENSION])
    assert len(expected) > len(near_pairs(seen, threshold).first) > 0
    found = near_pairs(vectors, threshold, rescoring, block)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected


@pytest.mark.parametrize("doubt", [0, 0.9])
def test_layout_rescoring_at_equal_embeddings_gives_exactly_1(doubt: float) -> None:
    vectors = np.hstack([unit_vectors(200, 200, 1, seed=0), unit_vectors(1600, 9, 1, seed=1).reshape(200, 64)])
    assert (similarities(vectors, vectors, LayoutRescoring(doubt=doubt)) == 1).all()


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


def test_a_group_says_its_least_similarity() -> None:
    pairs = NearPairs(np.array([1, 1, 4, 2]), np.array([4, 7, 7, 3]), np.array([0.9, 0.8, 0.95, 0.7]))
    assert groups(pairs) == [Group((1, 4, 7), 0.8), Group((2, 3), 0.7)]


def test_merging_two_groups_needs_every_cross_pair() -> None:
    first, second = np.array([0, 2, 0, 0, 1]), np.array([1, 3, 2, 3, 2])
    found = np.array([0.99, 0.98, 0.9, 0.9, 0.9])
    assert [group.members for group in groups(NearPairs(first, second, found))] == [(0, 1), (2, 3)]
    whole = NearPairs(np.append(first, 1), np.append(second, 3), np.append(found, 0.85))
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
        clusters = [each for each in clusters if each not in best[1:]] + [tuple(sorted(best[1] + best[2]))]
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
