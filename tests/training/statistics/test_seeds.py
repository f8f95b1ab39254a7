"""What several seeds come to."""

from __future__ import annotations

import pytest

from training.statistics.seeds import mean_and_reach, mean_cell


def test_interval_by_students_t() -> None:
    # n = 5, sd = √2.5, t(4, .975) = 2.7764
    mean, reach = mean_and_reach([1, 2, 3, 4, 5])
    assert mean == 3
    assert reach == pytest.approx(2.7764 * 2.5**0.5 / 5**0.5, rel=1e-4)
    assert mean_cell([1, 2, 3, 4, 5], digits=1) == "3.0 ± 2.0"


def test_a_single_value_has_none() -> None:
    assert mean_and_reach([0.5]) == (0.5, None)
    assert mean_cell([0.5]) == "0.500"
