"""Candidates by the graph, against all pairs. Needs usearch, which is optional."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.duplicates import candidates, layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import near_pairs, near_pairs_of_many

Floats = NDArray[np.float32]


def unit(rows: NDArray[np.float64]) -> Floats:
    vectors: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def families(seed: int, dimension: int, spread: float) -> Floats:
    """(600, dimension): three near ones each of 200."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, dimension)).repeat(3, 0)
    return unit(centres + spread * rng.standard_normal(centres.shape))


def mirrored_layouts(seed: int) -> Floats:
    """(600, 64): the second of each three is turned as a mirrored picture's."""
    vectors = families(seed, layout.DIMENSION, 0.05)
    vectors[1::3, layout.EVEN :] *= -1
    return vectors


def test_all_near_ones_are_found_among_the_nearest() -> None:
    pytest.importorskip("usearch")
    vectors = families(0, 16, 0.1)
    exact, approximate = near_pairs(vectors, 0.9), near_pairs_of_many(vectors, 0.9, exact=100)
    assert len(exact.first) >= 500
    for one, other in zip(exact, approximate, strict=True):
        assert np.array_equal(one, other)


def test_pairs_that_only_the_layout_makes_near_are_found() -> None:
    pytest.importorskip("usearch")
    rescoring = LayoutRescoring(floor=0.5, weight=1)
    vectors = np.hstack([families(1, 16, 0.8), mirrored_layouts(2)])
    exact, approximate = near_pairs(vectors, 0.9, rescoring), near_pairs_of_many(vectors, 0.9, rescoring, exact=100)
    assert len(exact.first) >= 500
    assert len(near_pairs(np.ascontiguousarray(vectors[:, :16]), 0.9).first) < 100
    for one, other in zip(exact, approximate, strict=True):
        assert np.array_equal(one, other)


def test_the_same_candidates_each_time_in_order_and_without_pairs_of_one() -> None:
    pytest.importorskip("usearch")
    vectors = families(3, 8, 0.2)
    first, second = candidates.find_candidates(vectors, False, 5), candidates.find_candidates(vectors, False, 5)
    assert np.array_equal(first.first, second.first)
    assert np.array_equal(first.second, second.second)
    assert (first.first < first.second).all()
    codes = first.first * len(vectors) + first.second
    assert (np.diff(codes) > 0).all()
    # Itself is one of the five.
    assert np.bincount(np.concatenate([first.first, first.second]), minlength=600).min() >= 4


def test_few_or_without_usearch_the_search_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(candidates, "find_candidates", refuse)
    vectors = families(0, 16, 0.1)
    assert len(near_pairs_of_many(vectors, 0.9, exact=600).first) == len(near_pairs(vectors, 0.9).first)
    monkeypatch.setattr(candidates, "available", lambda: False)
    assert len(near_pairs_of_many(vectors, 0.9, exact=10).first) == len(near_pairs(vectors, 0.9).first)
