"""The regression finds what makes mistakes, and is honest about images that it was fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.difficulty_rule import ReferenceNetworks
from phototriage.signals import SIGNALS, Seen, signals
from training import difficulty_metrics
from training.difficulty_fit import FittedOn, class_centres, fit, out_of_fold, weigh
from training.files import DataError

FITTED_ON = FittedOn(
    autoencoder="mine",
    autoencoder_version="1",
    reference=ReferenceNetworks(trunk="small_cnn", size=16, epochs=1, parameters=9, networks=4, mistakes=0.3),
    data="drawn",
    sha256="0" * 64,
)
N = 600


def drawn(seed: int = 0) -> tuple[Seen, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Images whose reconstruction error alone decides how often four networks err about them."""
    rng = np.random.default_rng(seed)
    l1 = rng.random(N)
    seen = Seen(
        logits=rng.normal(size=(N, 2)).astype(np.float32),
        latent=rng.random((N, 3)).astype(np.float32),
        l1=l1.astype(np.float32),
        dissimilarity=rng.random(N).astype(np.float32),
        pixels=rng.integers(0, 256, (N, 4, 4, 3), np.uint8),
        smallest_side=rng.integers(100, 500, N),
    )
    return seen, rng.random((4, N)) < l1


CENTRES = np.array([[0.2, 0.2, 0.2], [0.8, 0.8, 0.8]], np.float32)


def test_the_signal_that_decides_gets_the_weight() -> None:
    seen, wrong = drawn()
    weights, _ = weigh(signals(seen, CENTRES), wrong)
    strongest = max(SIGNALS, key=lambda name: abs(weights[name].weight))
    assert strongest == "reconstruction_l1"
    assert weights[strongest].weight > 1
    assert weights[strongest].mean == pytest.approx(float(seen.l1.mean()))


def test_the_score_is_calibrated_and_sends_the_workload_to_review() -> None:
    seen, wrong = drawn()
    found = fit(seen, np.zeros(N, np.int64), CENTRES, wrong, 0.2, FITTED_ON)
    judged = found.judge(seen)
    scores = np.array([one.score for one in judged])
    assert scores.mean() == pytest.approx(wrong.mean(), abs=0.01)
    high = scores > np.quantile(scores, 0.75)
    assert scores[high].mean() == pytest.approx(wrong[:, high].mean(), abs=0.06)
    assert np.mean([one.review for one in judged]) == pytest.approx(0.2, abs=0.01)
    assert found.rule.images == N


def test_scores_of_a_fold_come_from_the_other_folds() -> None:
    seen, wrong = drawn()
    found = signals(seen, CENTRES)
    folds = np.arange(N) % 5
    scores = out_of_fold(found, wrong, folds)
    assert difficulty_metrics.mean_auroc(scores, wrong) > 0.75
    # What happens to one fold's own images doesn't move their scores.
    spoiled = wrong.copy()
    spoiled[:, folds == 0] = ~spoiled[:, folds == 0]
    again = out_of_fold(found, spoiled, folds)
    np.testing.assert_allclose(again[folds == 0], scores[folds == 0])
    assert not np.allclose(again[folds == 1], scores[folds == 1])


def test_signals_that_say_nothing_are_worth_nothing_out_of_fold() -> None:
    seen, _ = drawn()
    wrong = np.random.default_rng(1).random((4, N)) < 0.3
    scores = out_of_fold(signals(seen, CENTRES), wrong, np.arange(N) % 5)
    assert 0.42 < difficulty_metrics.mean_auroc(scores, wrong) < 0.58


def test_centres_are_means_of_trusted_images() -> None:
    latent = np.array([[0.0, 0], [1, 1], [9, 9], [4, 4], [6, 6]], np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    centres = class_centres(latent, labels, np.array([True, True, False, False, False]))
    assert centres.tolist() == [[0.5, 0.5], [5, 5]]  # of a class without any, all


def test_networks_that_are_always_right_teach_nothing() -> None:
    seen, wrong = drawn()
    with pytest.raises(DataError, match="right, or wrong, about every single image"):
        weigh(signals(seen, CENTRES), np.zeros_like(wrong))
