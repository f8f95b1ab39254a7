"""The nearest neighbours of each embedding, against a table of all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.neighbours import nearest
from phototriage.duplicates.pairs import similarities
from tests.duplicates.unit_vectors import Floats, circle, cosine, unit_vectors

RESCORING = LayoutRescoring(floor=0.5, weight=0.7, doubt=0.16)


def with_layouts(n: int, seed: int) -> Floats:
    layouts = np.random.default_rng(seed).standard_normal((n, layout.DIMENSION))
    layouts[1::2] = layouts[::2] + 0.3 * layouts[1::2]
    layouts /= np.linalg.norm(layouts, axis=1, keepdims=True)
    return np.hstack([unit_vectors(n, 6, 0.4, seed), layouts.astype(np.float32)])


def by_sorting(
    left: Floats, right: Floats, rescoring: LayoutRescoring | None, own: bool
) -> list[list[tuple[float, int]]]:
    """Of each row all others, as (−similarity, row)."""
    lists = []
    for i, one in enumerate(left):
        similar = similarities(np.repeat(one[None], len(right), axis=0), right, rescoring)
        lists.append(sorted((-value, j) for j, value in enumerate(similar.tolist()) if own or i != j))
    return lists


def test_on_a_circle() -> None:
    found = nearest(circle(0, 10, 25, 90), 2)
    assert found.row.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert found.similarity[0] == pytest.approx([cosine(10), cosine(25)], abs=1e-6)


@pytest.mark.parametrize("block", [1, 7, 64, 1024])
@pytest.mark.parametrize("rescoring", [None, RESCORING])
def test_as_by_sorting_all_whatever_the_block(rescoring: LayoutRescoring | None, block: int) -> None:
    vectors = with_layouts(60, 1) if rescoring else unit_vectors(60, 6, 0.4, 1)
    found = nearest(vectors, 5, rescoring, block=block)
    expected = by_sorting(vectors, vectors, rescoring, own=False)
    assert found.row.tolist() == [[j for _, j in row[:5]] for row in expected]
    assert found.similarity.tolist() == [[-value for value, _ in row[:5]] for row in expected]


@pytest.mark.parametrize("block", [3, 1024])
def test_among_others_all_count(block: int) -> None:
    vectors, others = with_layouts(20, 2), with_layouts(30, 2)
    found = nearest(vectors, 4, RESCORING, among=others, block=block)
    expected = by_sorting(vectors, others, RESCORING, own=True)
    assert found.row.tolist() == [[j for _, j in row[:4]] for row in expected]


def test_of_equal_ones_the_earliest() -> None:
    assert nearest(circle(0, 0, 0, 0), 2, block=2).row.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_fewer_where_there_are_fewer() -> None:
    assert nearest(circle(0, 10, 40), 9).row.tolist() == [[1, 2], [0, 2], [1, 0]]
    assert nearest(circle(0, 10), 9, among=circle(5)).row.tolist() == [[0], [0]]
    assert nearest(circle(0), 3).row.shape == (1, 0)
    assert nearest(np.empty((0, 2), np.float32), 3).row.shape == (0, 0)
    assert nearest(circle(0, 10), 9, among=np.empty((0, 2), np.float32)).similarity.shape == (2, 0)
