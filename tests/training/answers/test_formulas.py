"""Answers fitted to mistakes and foreign images that are planted in the signals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.difficulty.predictor import score
from phototriage.difficulty.signals import Features
from phototriage.runtime.feature_tensors import FeatureTensors
from training.answers.features import AXES, fit_depths, fit_head, principal_axes
from training.answers.formulas import Evidence, ReplicaEvidence, fit_answers
from training.answers.monotone import regress
from training.statistics.mistakes import auroc

IMAGES, STRANGERS = 4000, 300
TENSORS = FeatureTensors("inner", "last")
Floats = NDArray[np.float64]


def evidence(slope: float = 1.5) -> Evidence:
    """Mistakes follow `slope` times the contradiction, and judges err twice as often; foreign images lie further
    outside by three deviations. The margin says nothing."""
    rng = np.random.default_rng(0)
    names = ("small_margin", "inner_contradiction", "last_outside", "last_beyond", "inner_beyond")
    values = {name: rng.normal(size=IMAGES) for name in names}
    chance = 1 / (1 + np.exp(3 - slope * values["inner_contradiction"]))
    own = rng.random(IMAGES) < chance
    judges = rng.random((4, IMAGES)) < 2 * chance
    foreign = {name: rng.normal(size=STRANGERS) + 3 * name.endswith(("outside", "beyond")) for name in names}
    return Evidence(values, own, judges, foreign)


def test_answers_are_calibrated_probabilities_of_what_was_planted() -> None:
    known = evidence()
    answers = fit_answers(known, TENSORS)
    error, hard = score(answers.error, known.values), score(answers.hard, known.values)
    assert error.mean() == pytest.approx(known.own.mean(), abs=0.005)
    assert hard.mean() == pytest.approx(known.judged.mean(), abs=0.01)
    hardest = error >= np.quantile(error, 0.9)
    assert error[hardest].mean() == pytest.approx(known.own[hardest].mean(), abs=0.05)
    assert auroc(error, known.own) > auroc(known.values["small_margin"], known.own) + 0.2
    assert (answers.mistakes, answers.judges) == (known.own.sum(), 4)
    assert answers.hard_share == pytest.approx(known.judged.mean(), abs=1e-5)


def test_foreign_images_are_told_at_their_share() -> None:
    known = evidence()
    answers = fit_answers(known, TENSORS, foreign_share=0.1)
    inside, strangers = (score(answers.foreign, values) for values in (known.values, known.foreign))
    truth = np.repeat([False, True], [IMAGES, STRANGERS])
    assert auroc(np.concatenate([inside, strangers]), truth) > 0.99
    assert 0.9 * inside.mean() + 0.1 * strangers.mean() == pytest.approx(0.1, abs=0.01)
    assert answers.foreign_images == STRANGERS


def test_no_signal_has_the_wrong_sign() -> None:
    answers = fit_answers(evidence(slope=-1.5), TENSORS)
    weights = [each.weight for formula in (answers.error, answers.hard) for each in formula.weights.values()]
    assert min(weights) >= 0
    assert answers.error.weights["inner_contradiction"].weight == 0


def test_a_classifier_that_errs_nowhere_has_answers_by_the_judges() -> None:
    known = evidence()
    answers = fit_answers(known._replace(own=np.zeros(IMAGES, bool)), TENSORS)
    assert 0 < score(answers.error, known.values).mean() < 0.002
    assert auroc(score(answers.error, known.values), known.judged[0]) > 0.7


@pytest.mark.parametrize("judges", [0, 4])
def test_where_nobody_errs_each_signal_counts_alike(judges: int) -> None:
    nobody = evidence()._replace(own=np.zeros(IMAGES, bool), judged=np.zeros((judges, IMAGES), bool))
    answers = fit_answers(nobody, TENSORS)
    (weight,) = {round(each.weight, 2) for each in answers.error.weights.values()}
    assert weight > 0.5
    assert score(answers.error, nobody.values).mean() < 0.001
    assert (answers.judges, answers.hard_share) == (judges, 0)


def test_weights_of_a_logistic_regression_are_found_again() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(20000, 3))
    chance = 1 / (1 + np.exp(1 - columns @ [1, 0.5, -1]))
    weights, constant = regress(columns[:, :2], chance)
    assert weights == pytest.approx([0.87, 0.43], abs=0.05)  # less, since the third column is noise to it
    assert constant == pytest.approx(-0.87, abs=0.05)
    assert regress(columns, chance)[0][2] == 0


def test_a_head_gives_log_odds_of_the_classes() -> None:
    rng = np.random.default_rng(2)
    for classes in (2, 3):
        labels = rng.integers(0, classes, 600)
        values = rng.normal(size=(600, 4)) + 3 * np.eye(4)[labels]
        head = fit_head(values, labels, classes)
        assert head.shape == (5, classes)
        assert ((head[0] + values @ head[1:]).argmax(1) == labels).mean() > 0.9


def test_a_class_that_is_not_there_is_never_preferred() -> None:
    rng = np.random.default_rng(2)
    labels = np.array([0, 2, 3])[rng.integers(0, 3, 300)]
    values = rng.normal(size=(300, 4)) + 3 * np.eye(4)[labels]
    for chosen in (labels, np.full(300, 2)):
        head = fit_head(values, chosen, 4)
        found = (head[0] + values @ head[1:]).argmax(1)
        assert (found == chosen).mean() > 0.9
        assert 1 not in found


def test_axes_hold_the_most_variance() -> None:
    rng = np.random.default_rng(3)
    offsets = rng.normal(size=(500, 4)) * [1, 10, 0.1, 5]
    axes = principal_axes(offsets)
    assert np.abs(axes) == pytest.approx(np.array([[0, 1, 0, 0], [0, 0, 0, 1]]), abs=0.05)
    assert len(principal_axes(rng.normal(size=(500, 400)))) == AXES


def test_depths_know_train_images_and_no_others() -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 300)
    inner, last = rng.random((300, 6)) + np.eye(6)[labels], rng.random((300, 12))
    depths = fit_depths(Features(inner, last), labels, 3)
    assert depths.fits(3)
    answers = depths.head[0] + inner @ depths.head[1:]
    assert (answers.argmax(1) == labels).mean() > 0.8


def test_hard_images_are_calibrated_on_replicas_photos_too() -> None:
    """Which are many, where the held-out ones are few: these four judges got twice as many of them wrong by chance."""
    known = evidence()
    few = {name: values[:200] for name, values in known.values.items()}
    share = known.judged.mean(0)
    unlucky = known._replace(values=few, own=known.own[:200], judged=np.repeat(share[:200] > 0, 4).reshape(200, 4).T)
    replica = ReplicaEvidence(known.values, known.own, np.where(np.arange(IMAGES) % 10 == 0, np.nan, share))
    alone, helped = (
        score(fit_answers(each, TENSORS).hard, known.values) for each in (unlucky, unlucky._replace(replicas=[replica]))
    )
    assert alone.mean() > 1.5 * share.mean()
    assert helped.mean() == pytest.approx(share.mean(), rel=0.25)
