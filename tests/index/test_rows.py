"""Rows of segments and rows that wait for their commit, as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.index import rows as index_rows
from phototriage.index.rows import Rows

NONE = np.empty(0, np.int64)


def vectors(first: int, count: int) -> NDArray[np.float32]:
    """(count, 2): the number of each row, twice."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32), 2).reshape(-1, 2)


@pytest.mark.parametrize("spilled", [False, True])
def test_all_rows_are_there_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spilled: bool) -> None:
    monkeypatch.setattr(index_rows, "BLOCK", 3)
    rows = Rows(2, tmp_path if spilled else None)
    rows.append_segment(["0", "1", "2", "3"], vectors(0, 4), NONE)
    rows.append_segment([], vectors(4, 0), NONE)
    rows.append_segment(["4"], vectors(4, 1), NONE)
    for place in range(5, 12):
        assert rows.add(str(place), vectors(place, 1)[0]) == place
    assert not list(tmp_path.iterdir())
    assert len(rows) == 12
    for start, stop in ((0, 12), (2, 9), (4, 5), (7, 7)):
        numbered_rows = [
            (first + place, *row) for first, block in rows.blocks(start, stop) for place, row in enumerate(block)
        ]
        assert numbered_rows == [(row, row, row) for row in range(start, stop)]
    numbers = np.array([11, 0, 4, 4, 7])
    assert rows.gather(numbers)[:, 0].tolist() == numbers.tolist()
    rows.replace_arrays([vectors(0, 12)])
    assert rows.gather(numbers)[:, 1].tolist() == numbers.tolist()
    assert rows.add("12", vectors(12, 1)[0]) == 12
    assert rows.gather(np.array([12, 11]))[:, 0].tolist() == [12, 11]


def test_a_row_is_seen_from_when_it_came_to_when_its_name_came_again() -> None:
    rows = Rows(2)
    for name in "aba":
        rows.add(name, vectors(0, 1)[0])
    assert rows.row_of == {"a": 2, "b": 1}
    assert rows.died_at == {0: 2}
    # At a limit of 2 the third image asks, which is the second a; row 0 is gone for those after it.
    for limit, visible in ((1, [True, False, False]), (2, [True, True, False]), (3, [False, True, True])):
        assert rows.visible(np.arange(3), np.full(3, limit)).tolist() == visible


def test_rows_that_had_died_when_a_segment_was_written_are_never_seen() -> None:
    rows = Rows(2)
    rows.append_segment(["a", "b"], vectors(0, 2), NONE)
    rows.append_segment(["a"], vectors(2, 1), np.array([0]))
    assert rows.visible(np.arange(3), np.array([1, 3, 3])).tolist() == [False, True, True]
