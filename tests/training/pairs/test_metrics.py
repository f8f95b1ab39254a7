"""F1, thresholds and average precision on similarities worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.model_folder.manifest import Decision
from training.pairs.metrics import average_precision, best_threshold, counts_at, recall_at_precision
from training.pairs.thresholds import TuningError, choose_folds, parse_aim, tune

SIMILARITIES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
SAME = np.array([True, True, False, True, False, False])


def test_counts_at_a_threshold() -> None:
    found = counts_at(SIMILARITIES, SAME, 0.7)
    assert found == (2, 1, 1)
    assert found.precision == found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)


def test_nothing_called_is_precise() -> None:
    found = counts_at(SIMILARITIES, SAME, 1.0)
    assert (found.precision, found.recall, found.f1) == (1, 0, 0)


def test_the_best_f1_takes_one_false_alarm_for_the_last_duplicate() -> None:
    # At .6: 3 hits, 1 false alarm, F1 6/7; at .8: 2 hits, 1 miss, F1 4/5.
    assert best_threshold(SIMILARITIES, SAME) == pytest.approx(0.55)


def test_a_precision_moves_the_threshold() -> None:
    assert best_threshold(SIMILARITIES, SAME, 1.0) == pytest.approx(0.75)
    assert recall_at_precision(SIMILARITIES, SAME, 1.0) == pytest.approx(2 / 3)
    assert recall_at_precision(SIMILARITIES, SAME, 0.75) == 1


def test_a_precision_that_no_threshold_has() -> None:
    assert recall_at_precision(np.array([0.9, 0.8]), np.array([False, True]), 0.9) == 0


def test_equal_similarities_are_not_parted() -> None:
    similarities, same = np.array([0.5, 0.5, 0.1]), np.array([True, False, False])
    assert best_threshold(similarities, same) == pytest.approx(0.3)


def test_average_precision_is_the_mean_precision_at_each_duplicate() -> None:
    assert average_precision(SIMILARITIES, SAME) == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_one_class_gives_no_threshold() -> None:
    with pytest.raises(ValueError, match="one class"):
        best_threshold(SIMILARITIES, np.ones(6, bool))


@pytest.mark.parametrize(("aim", "precision"), [("f1", None), ("precision=0.99", 0.99), ("precision=1", 1.0)])
def test_aims(aim: str, precision: float | None) -> None:
    assert parse_aim(aim) == precision


@pytest.mark.parametrize("aim", ["", "F1", "recall=0.9", "precision=", "precision=0", "precision=1.1", "precision=nan"])
def test_other_aims_are_refused(aim: str) -> None:
    with pytest.raises(TuningError, match="f1, or precision=P"):
        parse_aim(aim)


def tuned(similarities: np.ndarray, same: np.ndarray, folds: np.ndarray) -> Decision:
    return tune(similarities, same, folds, "f1", data="pairs.csv", sha256="0" * 64)


def test_figures_come_from_folds_that_did_not_choose_the_threshold() -> None:
    """Fold 0 parts at .55, fold 1 at .25: each other's threshold errs on every pair between the two."""
    similarities = np.array([0.7, 0.6, 0.5, 0.4, 0.4, 0.3, 0.2, 0.1])
    same = np.array([True, True, False, False] * 2)
    folds = np.array([[0, 0]] * 4 + [[1, 1]] * 4)
    found = tuned(similarities, same, folds)
    # At .25, fold 0 has 2 hits and 2 false alarms; at .55, fold 1 has 2 misses.
    assert found.tuning.precision.value == found.tuning.recall.value == found.tuning.f1.value == 0.5
    assert found.tuning.folds == 2
    assert found.threshold == pytest.approx(0.25)  # on all: 4 hits, 2 false alarms
    assert found.prior == 0.5


def test_pairs_between_folds_judge_nothing() -> None:
    similarities = np.array([0.9, 0.1, 0.9, 0.1, 0.95])
    same = np.array([True, False, True, False, False])
    folds = np.array([[0, 0], [0, 0], [1, 1], [1, 1], [0, 1]])
    assert tuned(similarities, same, folds).tuning.f1.value == 1


def test_the_probability_rises_with_the_similarity_and_fits_the_prior() -> None:
    rng = np.random.default_rng(0)
    same = rng.random(4000) < 0.3
    similarities = np.where(same, rng.normal(0.7, 0.1, 4000), rng.normal(0.3, 0.1, 4000))
    found = tuned(similarities, same, rng.integers(0, 2, (4000, 1)).repeat(2, axis=1))
    probability = 1 / (1 + np.exp(-(found.slope * similarities + found.intercept)))
    assert probability.mean() == pytest.approx(same.mean(), abs=0.01)
    # For two normal classes of one deviation the log odds are linear: slope (.7 − .3) / .1² = 40.
    assert found.slope == pytest.approx(40, rel=0.15)


def test_one_class_is_refused() -> None:
    with pytest.raises(TuningError, match="one class"):
        tuned(SIMILARITIES, np.ones(6, bool), np.zeros((6, 2), int))


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(TuningError, match="fewer folds"):
        tuned(SIMILARITIES, SAME, np.zeros((6, 2), int))


def test_as_many_folds_as_have_pairs_of_both_classes() -> None:
    names = [f"photo {i}" for i in range(40)]
    groups = [(name, name) for name in names] + [(a, b) for a in names for b in names if a < b]
    same = np.array([True] * 40 + [False] * (len(groups) - 40))
    assert len(np.unique(choose_folds(groups, same))) == 5
    folds = choose_folds(groups, same, 3)
    assert set(np.unique(folds)) == {0, 1, 2}
    assert (folds[:40, 0] == folds[:40, 1]).all()


def test_too_few_photos_for_two_folds_are_refused() -> None:
    with pytest.raises(TuningError, match="3 pairs of 2 different photos"):
        choose_folds([("a", "a"), ("b", "b"), ("a", "b")], np.array([True, True, False]))
