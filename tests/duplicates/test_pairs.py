"""Similarities and near pairs by hand-worked cases, and against the definition written out in full."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import (
    is_duplicate,
    margin,
    near_pairs,
    probability,
    similarities,
    similarity,
)
from tests.duplicates.unit_vectors import circle, cosine, unit_vectors


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
    content = np.ascontiguousarray(vectors[:, : -layout.DIMENSION])
    assert len(expected) > len(near_pairs(content, threshold).first) > 0
    pairs = near_pairs(vectors, threshold, rescoring, block)
    assert list(zip(*(column.tolist() for column in pairs), strict=True)) == expected


@pytest.mark.parametrize("doubt", [0, 0.9])
def test_layout_rescoring_at_equal_embeddings_gives_exactly_1(doubt: float) -> None:
    vectors = np.hstack([unit_vectors(200, 200, 1, seed=0), unit_vectors(1600, 9, 1, seed=1).reshape(200, 64)])
    assert (similarities(vectors, vectors, LayoutRescoring(doubt=doubt)) == 1).all()
