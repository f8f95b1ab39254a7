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
from phototriage.index.search import NeighbourRows, Queries, SearchCriteria, search
from tests.index.test_image_index import families

Floats = NDArray[np.float32]

RESCORING = LayoutRescoring(floor=0.6, weight=0.7, doubt=0.2)
WIDTH = 8


def rows_of(vectors: Floats, dead: list[int] | None = None) -> Rows:
    rows = Rows(vectors.shape[1])
    rows.append_segment([str(place) for place in range(len(vectors))], vectors, np.array(dead or [], np.int64))
    return rows


def similarities_of_all(vectors: Floats, query: Floats, rescoring: LayoutRescoring | None) -> NDArray[np.float64]:
    return similarities(np.repeat(query[None], len(vectors), axis=0), vectors, rescoring)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 700),
    nearest=st.integers(1, 5),
    threshold=st.none() | st.floats(0.2, 0.99),
    with_layout=st.booleans(),
)
def test_it_finds_what_comparing_all_finds(
    seed: int, count: int, nearest: int, threshold: float | None, with_layout: bool
) -> None:
    rescoring = RESCORING if with_layout else None
    vectors = families(seed, count, (WIDTH, layout.DIMENSION) if with_layout else (WIDTH,))
    rng = np.random.default_rng(seed)
    dead = sorted(set(rng.integers(0, count, 3).tolist()))
    queries = families(seed + 1, 5, (WIDTH, layout.DIMENSION) if with_layout else (WIDTH,))
    limits, own_rows = rng.integers(1, count + 1, 5), rng.integers(-1, count, 5)
    neighbours_of_all = search(
        rows_of(vectors, dead), Queries(queries, limits, own_rows), SearchCriteria(nearest, threshold), rescoring
    )
    for query, limit, own_row, neighbours in zip(
        queries, limits.tolist(), own_rows.tolist(), neighbours_of_all, strict=True
    ):
        exact = similarities_of_all(vectors, query, rescoring)
        visible = [row for row in range(limit) if row != own_row and row not in dead]
        best = sorted(visible, key=lambda row: (-exact[row], row))[:nearest]
        assert neighbours.best(nearest).rows.tolist() == best
        assert neighbours.best(nearest).similarity.tolist() == exact[best].tolist()
        assert neighbours.rows.tolist() == sorted(neighbours.rows.tolist())
        assert set(neighbours.rows.tolist()) <= set(visible)
        if threshold is not None:
            assert {row for row in visible if exact[row] >= threshold} <= set(neighbours.rows.tolist())


def test_a_row_that_only_the_layout_makes_near_is_found() -> None:
    vectors = families(1, 600, (WIDTH, layout.DIMENSION))
    query = vectors[10].copy()
    query[:WIDTH] = families(2, 1, (WIDTH,))[0]
    query[WIDTH + layout.EVEN :] *= -1
    rescoring = LayoutRescoring(floor=0.6, weight=1)
    (neighbours,) = search(
        rows_of(vectors), Queries(query[None], np.array([600]), np.array([-1])), SearchCriteria(1), rescoring
    )
    assert neighbours.best(1).rows.tolist() == [10]
    assert neighbours.best(1).similarity[0] == pytest.approx(1)


def test_only_rows_that_the_graph_doesnt_know_are_compared_beside_its_candidates() -> None:
    class FixedCandidates:
        rows = 400

        def candidates(self, vectors: Floats) -> NDArray[np.int64]:
            return np.array([[7, 3, -1, 7]] * len(vectors))

        def layout_candidates(self, layouts: Floats) -> NDArray[np.int64]:
            return self.candidates(layouts)

    vectors = families(3, 500)
    queries = vectors[:2]
    all_queries = Queries(queries, np.full(2, 500), np.array([-1, -1]))
    for query, neighbours in zip(
        queries, search(rows_of(vectors), all_queries, SearchCriteria(500), None, FixedCandidates()), strict=True
    ):
        assert neighbours.rows.tolist() == [3, 7, *range(400, 500)]
        assert neighbours.similarity.tolist() == similarities_of_all(vectors, query, None)[neighbours.rows].tolist()


def test_of_equally_near_rows_the_earliest_come_first() -> None:
    neighbours = NeighbourRows(np.array([2, 5, 9]), np.array([0.5, 0.9, 0.9]))
    assert neighbours.best(2).rows.tolist() == [5, 9]


def test_many_queries_are_answered_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = families(5, 300)
    queries = Queries(vectors, np.arange(1, 301), np.arange(300))
    expected = search(rows_of(vectors), queries, SearchCriteria(1, 0.8), None)
    assert len(expected[0].rows) == 0
    monkeypatch.setattr(index_search, "QUERIES", 1)
    monkeypatch.setattr(index_search, "FIRST_ROWS", 7)
    for at_once, one_by_one in zip(
        expected, search(rows_of(vectors), queries, SearchCriteria(1, 0.8), None), strict=True
    ):
        assert at_once.best(1).rows.tolist() == one_by_one.best(1).rows.tolist()
        near = [neighbours.rows[neighbours.similarity >= 0.8].tolist() for neighbours in (at_once, one_by_one)]
        assert near[0] == near[1]
