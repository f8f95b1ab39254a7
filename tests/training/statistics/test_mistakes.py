"""By hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from training.statistics.mistakes import average_precision, brier_skill, found_at, left_over, lift, risk_area


def test_skill_against_the_base_rate() -> None:
    wrong = np.array([[True, False, False, False]])
    assert brier_skill(np.full(4, 0.25), wrong) == pytest.approx(0)
    assert brier_skill(wrong[0].astype(float), wrong) == 1
    assert brier_skill(np.ones(4), wrong) < 0


def test_the_lift_of_the_hardest_tenth() -> None:
    wrong = np.zeros((1, 20), bool)
    wrong[0, :4] = True
    score = np.arange(20)[::-1].astype(float)
    assert lift(score, wrong) == pytest.approx(1 / 0.2)
    assert lift(-score, wrong) == 0


def test_average_precision_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    wrong = rng.random(400) < 0.1
    score = rng.random(400) + wrong * rng.random(400)
    assert average_precision(score, wrong) == pytest.approx(average_precision_score(wrong, score))
    tied = np.round(score, 1)
    assert average_precision(tied, wrong) == pytest.approx(average_precision_score(wrong, tied))


def test_mistakes_that_remain_where_the_hardest_are_looked_at() -> None:
    wrong = np.array([True, False, True, False, False, False, False, False, False, True])
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    assert [left_over(score, wrong, share) for share in (0, 0.1, 0.3, 1)] == [3, 2, 1, 0]
    # The mistake that nothing tells is kept first: 1/1, 1/2 … 1/7, then 2/8, 2/9, 3/10.
    assert risk_area(score, wrong) == pytest.approx((sum(1 / n for n in range(1, 8)) + 2 / 8 + 2 / 9 + 3 / 10) / 10)
    assert risk_area(wrong.astype(float), wrong) < risk_area(score, wrong) < risk_area(-wrong.astype(float), wrong)


def test_foreign_images_found_at_a_share_of_false_ones() -> None:
    score = np.concatenate([np.arange(100.0), [98.5, 99.5, 10.0, 200.0]])
    foreign = np.arange(104) >= 100
    assert found_at(score, foreign, 0.01) == 0.75  # above 98.01
    assert found_at(score, foreign, 0.5) == 0.75
    with pytest.raises(ValueError, match="always or never"):
        found_at(score, foreign & False)
