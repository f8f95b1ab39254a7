"""Statistics beside the first way's."""

from __future__ import annotations

import numpy as np
import pytest

from training.studies.backbone_figures import beside_first, mcnemar


def test_mcnemar_s_exact_test() -> None:
    right, reference = np.array([True] * 3 + [False] * 9 + [True]), np.array([False] + [True] * 12)
    # Of ten images that only one is right about, one: 2 · (1 + 10) / 2¹⁰.
    ours, theirs, p = mcnemar(right, reference)
    assert (ours, theirs) == (1, 9)
    assert p == pytest.approx(22 / 1024)
    assert mcnemar(right, right) == (0, 0, 1.0)


def test_differences_are_from_the_first_on_the_same_samples() -> None:
    rows = [np.array([i], np.int32) for i in range(2)]
    cells = beside_first([lambda rows: float(rows.mean()), lambda rows: float(rows.mean()) + 0.25], 2, rows)
    assert cells[0][1] == ""
    assert cells[1][1] == "+.250 (+.250 to +.250)"
