"""What the benchmark of nominated pairs counts."""

from __future__ import annotations

import numpy as np

from benchmarks.candidates import Collection, cells, connected, rows_of
from phototriage.duplicates.neighbours import nearest
from tests.duplicates.unit_vectors import circle


def collection() -> Collection:
    """Two photos of their own, three pictures of one photo, two of another."""
    photo = np.array([-1, -2, 7, 7, 7, 9, 9])
    pairs = np.array([[2, 3], [4, 2], [5, 6]])
    return Collection(circle(0, 10, 90, 92, 94, 200, 201), photo, 2, pairs)


def test_pairs_are_connected_through_others_of_their_photo() -> None:
    first, second = np.array([2, 3, 0]), np.array([3, 4, 5])
    assert connected(collection(), first, second) == 2 / 3
    # A pair of two photos connects nothing.
    assert connected(collection(), np.array([2, 3]), np.array([5, 5])) == 0


def test_the_cells_of_a_line() -> None:
    first, second = np.array([0, 2, 3]), np.array([1, 3, 4])
    assert cells(collection(), first, second) == ["0.333", "0.667", "1 · 0.50", "2"]


def test_a_line_for_each_share_that_is_reached() -> None:
    made = collection()
    lines = rows_of(made, nearest(made.embeddings, 3), 3, None)
    assert [line[0] for line in lines] == ["similarity, 0.98", "similarity, 0.99", "similarity, 0.995"]
    assert [line[4] for line in lines] == ["1.000"] * 3
    assert [line[5] for line in lines] == ["0 · 0.00"] * 3
    far = made._replace(pairs=np.array([[0, 5]]))
    assert rows_of(far, nearest(made.embeddings, 3), 3, None) == []
