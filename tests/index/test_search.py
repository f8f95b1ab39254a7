"""The exact search against all pairs, whatever hides rows; the graph's candidates beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import similarities
from phototriage.index import search as index_search
from phototriage.index.rows import Rows
from phototriage.index.search import Asked, Near, Wanted, search
from tests.index.test_image_index import families

Floats = NDArray[np.float32]

LOOK = LayoutRescoring(floor=0.6, weight=0.7, doubt=0.2)
WIDTH = 8


def rows_of(vectors: Floats, dead: list[int] | None = None) -> Rows:
    rows = Rows(vectors.shape[1])
    rows.take([str(place) for place in range(len(vectors))], vectors, np.array(dead or [], np.int64))
    return rows


def everything(vectors: Floats, query: Floats, rescoring: LayoutRescoring | None) -> NDArray[np.float64]:
    return similarities(np.repeat(query[None], len(vectors), axis=0), vectors, rescoring)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 700),
    most=st.integers(1, 5),
    threshold=st.none() | st.floats(0.2, 0.99),
    looking=st.booleans(),
)
def test_it_finds_what_comparing_all_finds(
    seed: int, count: int, most: int, threshold: float | None, looking: bool
) -> None:
    rescoring = LOOK if looking else None
    vectors = families(seed, count, (WIDTH, layout.DIMENSION) if looking else (WIDTH,))
    rng = np.random.default_rng(seed)
    dead = sorted(set(rng.integers(0, count, 3).tolist()))
    queries = families(seed + 1, 5, (WIDTH, layout.DIMENSION) if looking else (WIDTH,))
    limits, own = rng.integers(1, count + 1, 5), rng.integers(-1, count, 5)
    found = search(rows_of(vectors, dead), Asked(queries, limits, own), Wanted(most, threshold), rescoring)
    for query, limit, mine, near in zip(queries, limits.tolist(), own.tolist(), found, strict=True):
        exact = everything(vectors, query, rescoring)
        there = [row for row in range(limit) if row != mine and row not in dead]
        best = sorted(there, key=lambda row: (-exact[row], row))[:most]
        assert near.best(most).rows.tolist() == best
        assert near.best(most).similarity.tolist() == exact[best].tolist()
        assert near.rows.tolist() == sorted(near.rows.tolist())
        assert set(near.rows.tolist()) <= set(there)
        if threshold is not None:
            assert {row for row in there if exact[row] >= threshold} <= set(near.rows.tolist())


def test_a_row_that_only_the_layout_makes_near_is_found() -> None:
    vectors = families(1, 600, (WIDTH, layout.DIMENSION))
    query = vectors[10].copy()
    query[:WIDTH] = families(2, 1, (WIDTH,))[0]
    query[WIDTH + layout.EVEN :] *= -1
    rescoring = LayoutRescoring(floor=0.6, weight=1)
    (near,) = search(rows_of(vectors), Asked(query[None], np.array([600]), np.array([-1])), Wanted(1), rescoring)
    assert near.best(1).rows.tolist() == [10]
    assert near.best(1).similarity[0] == pytest.approx(1)


def test_only_rows_that_the_graph_doesnt_know_are_compared_beside_its_candidates() -> None:
    class Some:
        rows = 400

        def candidates(self, vectors: Floats) -> NDArray[np.int64]:
            return np.array([[7, 3, -1, 7]] * len(vectors))

    vectors = families(3, 500)
    queries = vectors[:2]
    asked = Asked(queries, np.full(2, 500), np.array([-1, -1]))
    for query, near in zip(queries, search(rows_of(vectors), asked, Wanted(500), None, Some()), strict=True):
        assert near.rows.tolist() == [3, 7, *range(400, 500)]
        assert near.similarity.tolist() == everything(vectors, query, None)[near.rows].tolist()


def test_equally_near_rows_are_told_from_the_first_on() -> None:
    near = Near(np.array([2, 5, 9]), np.array([0.5, 0.9, 0.9]))
    assert near.best(2).rows.tolist() == [5, 9]


def test_many_queries_are_answered_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = families(5, 300)
    asked = Asked(vectors, np.arange(1, 301), np.arange(300))
    expected = search(rows_of(vectors), asked, Wanted(1, 0.8), None)
    assert len(expected[0].rows) == 0
    monkeypatch.setattr(index_search, "QUERIES", 1)
    monkeypatch.setattr(index_search, "FIRST_ROWS", 7)
    for one, other in zip(expected, search(rows_of(vectors), asked, Wanted(1, 0.8), None), strict=True):
        assert one.best(1).rows.tolist() == other.best(1).rows.tolist()
        reached = [near.rows[near.similarity >= 0.8].tolist() for near in (one, other)]
        assert reached[0] == reached[1]
