"""By hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.difficulty import metrics as difficulty_metrics
from training.difficulty.metrics import ceiling, hard_subset, losses, mistakes, share_of_ceiling
from training.statistics.mistakes import auroc, brier_skill, lift

LABELS = np.array([0, 1, 1])
SAID = np.array([[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]], np.float32)


def test_mistakes_and_losses() -> None:
    assert mistakes(SAID, LABELS).tolist() == [[False, True, False], [False, False, False]]
    expected = -np.log([0.9, 0.4, 0.8]) / 2 - np.log([0.5, 0.9, 0.7]) / 2
    assert losses(SAID, LABELS) == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(losses(np.array([[[0.0, 1.0]]]), np.array([0]))).all()


def test_the_hardest_of_each_class() -> None:
    loss = np.array([5.0, 4, 3, 2, 1, 0.5, 0.4, 0.4, 0.2, 0.1])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert np.flatnonzero(hard_subset(loss, labels)).tolist() == [0, 5]
    assert np.flatnonzero(hard_subset(loss, labels, 0.4)).tolist() == [0, 1, 5, 6]


def test_a_ceiling_and_the_share_of_it() -> None:
    # Two networks that err alike on the first two, and one of them alone on the third.
    wrong = np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]], bool)
    # First: the second's mistakes rank both of its own above all but one tie: (2 · (1·.5 + 3)) / 8. Second: two of its
    # three above the three right ones, the third ties with them.
    expected = ((2 * 3 + 2 * 0.5) / 8 + (2 * 3 + 3 * 0.5) / 9) / 2
    assert ceiling(wrong) == pytest.approx(expected)
    assert share_of_ceiling(np.zeros(6), wrong) == 0
    assert share_of_ceiling(wrong.mean(0), wrong) > 1  # since it knows the very networks
    with pytest.raises(ValueError, match="two networks"):
        ceiling(wrong[:1])
    with pytest.raises(ValueError, match="never wrong"):
        auroc(np.zeros(3), np.zeros(3, bool))


def test_what_tells_nothing_is_refused_and_left_out() -> None:
    score = np.linspace(0, 1, 8)
    none, opposite = np.zeros((2, 8), bool), np.array([[True, False] * 4, [False, True] * 4])
    for statistic in (brier_skill, lift, share_of_ceiling):
        with pytest.raises(ValueError, match="tells nothing"):
            statistic(score, none)
    with pytest.raises(ValueError, match="tell nothing of each other"):
        share_of_ceiling(score, opposite)
    named = [one.name for one in difficulty_metrics.figures(score, none, none[0], 0.1, "none", "val", resamples=20)]
    assert named == []
    few = np.zeros((2, 8), bool)
    few[:, -1] = True  # many draws of eight images lack the one mistake
    found = difficulty_metrics.figures(score, few, few[0], 0.1, "none", "val", resamples=50)
    assert {one.name for one in found} >= {"difficulty: AUROC of reference mistakes", "difficulty: Brier skill"}
