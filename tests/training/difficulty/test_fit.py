"""The regression finds what makes mistakes, and is honest about images that it was fitted on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from phototriage.difficulty.config import ReferenceNetworks
from phototriage.difficulty.predictor import log_odds_of
from phototriage.difficulty.signals import (
    SIGNALS,
    LatentMap,
    Reconstruction,
    SignalInputs,
    log_odds,
    reference_log_probabilities,
    signals,
    softmax,
)
from training.difficulty.fit import (
    COST,
    FittedOn,
    HeldOut,
    calibrate,
    choose_boost,
    fit,
    fit_latent_map,
    out_of_fold,
    weigh,
)
from training.sources.files import DataError
from training.statistics.mistakes import auroc, mean_auroc

FITTED_ON = FittedOn(
    autoencoder="mine",
    autoencoder_version="1",
    reference=ReferenceNetworks(trunk="small_cnn", size=16, epochs=1, parameters=9, networks=4, mistakes=0.3),
    data="drawn",
    sha256="0" * 64,
    group_by=None,
)
N = 600


def drawn(seed: int = 0) -> tuple[SignalInputs, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Images whose reconstruction error alone decides how often four networks err about them."""
    rng = np.random.default_rng(seed)
    l1 = rng.random(N)
    seen = SignalInputs(
        logits=rng.normal(size=(N, 2)).astype(np.float32),
        reconstruction=Reconstruction(
            latent=rng.random((N, 3)).astype(np.float32),
            l1=l1.astype(np.float32),
            dissimilarity=rng.random(N).astype(np.float32),
        ),
        pixels=rng.integers(0, 256, (N, 4, 4, 3), np.uint8),
        smallest_side=rng.integers(100, 500, N),
    )
    return seen, rng.random((4, N)) < l1


LATENT_MAP = LatentMap(
    np.array([[0.2, 0.2, 0.2], [0.8, 0.8, 0.8]], np.float32), np.array([[0, 0], [1, -1], [1, -1], [0, 0]], np.float32)
)


def held_out(seen: SignalInputs, wrong: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> HeldOut:
    return HeldOut(seen, seen.logits.argmax(1).astype(np.int64), wrong, np.arange(N) % 5)


def test_the_signal_that_decides_gets_the_weight() -> None:
    seen, wrong = drawn()
    weights = weigh(signals(seen, LATENT_MAP), wrong).weights
    strongest = max(SIGNALS, key=lambda name: abs(weights[name].weight))
    assert strongest == "reconstruction_l1"
    assert weights[strongest].weight > 1
    assert weights[strongest].mean == pytest.approx(float(signals(seen, LATENT_MAP)["reconstruction_l1"].mean()))


def test_the_score_is_calibrated_and_sends_the_workload_to_review() -> None:
    seen, wrong = drawn()
    found, _ = fit(held_out(seen, wrong), LATENT_MAP, 0.2, FITTED_ON)
    assert found.config.doubt_boost == 0  # the classifier makes no mistakes of its own
    predictions = found.predict(seen)
    scores = np.array([one.score for one in predictions])
    assert scores.mean() == pytest.approx(wrong.mean(), abs=0.01)
    high = scores > np.quantile(scores, 0.75)
    assert scores[high].mean() == pytest.approx(wrong[:, high].mean(), abs=0.06)
    assert np.mean([one.review for one in predictions]) == pytest.approx(0.2, abs=0.01)
    assert found.config.images == N


def test_scores_of_a_fold_come_from_the_other_folds() -> None:
    seen, wrong = drawn()
    found = signals(seen, LATENT_MAP)
    images = held_out(seen, wrong)
    folds = images.folds
    scores = out_of_fold(found, images, 0)
    assert mean_auroc(scores, wrong) > 0.75
    # What happens to one fold's own images doesn't move their scores.
    spoiled = wrong.copy()
    spoiled[:, folds == 0] = ~spoiled[:, folds == 0]
    again = out_of_fold(found, held_out(seen, spoiled), 0)
    np.testing.assert_allclose(again[folds == 0], scores[folds == 0])
    assert not np.allclose(again[folds == 1], scores[folds == 1])


def test_signals_that_say_nothing_are_worth_nothing_out_of_fold() -> None:
    seen, _ = drawn()
    wrong = np.random.default_rng(1).random((4, N)) < 0.3
    scores = out_of_fold(signals(seen, LATENT_MAP), held_out(seen, wrong), 0)
    assert 0.42 < mean_auroc(scores, wrong) < 0.58


def test_centres_are_means_of_images_that_most_networks_got_right() -> None:
    latent = np.array([[0.0, 0], [0.5, 0.5], [0.9, 0.9], [0.4, 0.4], [0.6, 0.6]], np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    answers = np.array([[[0.9, 0.1]] * 5, [[0.8, 0.2], [0.8, 0.2], [0.1, 0.9], [0.8, 0.2], [0.9, 0.1]]], np.float32)
    centres = fit_latent_map(latent, labels, answers).centres
    assert centres == pytest.approx(np.array([[0.25, 0.25], [0.5, 0.5]]))  # of a class without any, all


def test_the_readout_finds_what_networks_say() -> None:
    rng = np.random.default_rng(0)
    latent = rng.uniform(0.1, 0.9, (500, 3)).astype(np.float32)
    lean = 0.5 + log_odds(latent.astype(np.float64)) @ np.array([1.0, -2, 0])
    answers = np.stack([1 / (1 + np.exp(-lean)), 1 / (1 + np.exp(lean))], axis=1)[np.newaxis].astype(np.float32)
    found = fit_latent_map(latent, np.arange(500) % 2, answers)
    said = reference_log_probabilities(latent.astype(np.float64), found.readout.astype(np.float64))
    assert np.corrcoef(said[:, 0] - said[:, 1], lean)[0, 1] > 0.97


def test_the_classifiers_doubt_weighs_more_where_that_tells_its_own_mistakes() -> None:
    seen, wrong = drawn()
    doubt = 1 - softmax(seen.logits).max(1)
    labels = seen.logits.argmax(1)
    mistaken = np.argsort(-doubt)[:20]  # where it is in doubt, it is wrong
    labels[mistaken] = 1 - labels[mistaken]
    images = HeldOut(seen, labels.astype(np.int64), wrong, np.arange(N) % 5)
    assert images.own.sum() == 20
    found = signals(seen, LATENT_MAP)
    boost = choose_boost(found, images)
    assert boost > 0
    scores = {one: out_of_fold(found, images, one) for one in (0.0, boost)}
    own = [auroc(one, images.own) for one in scores.values()]
    assert own[1] > own[0]
    cost = [mean_auroc(one, wrong) for one in scores.values()]
    assert cost[0] - cost[1] <= COST
    # It still means what it says.
    assert scores[boost].mean() == pytest.approx(wrong.mean(), abs=0.01)
    fitted, _ = fit(images, LATENT_MAP, 0.1, FITTED_ON)
    assert fitted.config.doubt_boost == boost


def test_calibration_says_the_share_of_mistakes_and_keeps_the_order() -> None:
    rng = np.random.default_rng(0)
    sums = rng.normal(size=2000) * 3
    truth = 0.1 + 0.7 / (1 + np.exp(-sums))  # never sure, unlike a logistic function
    wrong = rng.random((4, 2000)) < truth
    knots = calibrate(sums, wrong)
    said = 1 / (1 + np.exp(-log_odds_of(np.array(knots).T, sums)))
    assert np.abs(said - truth).mean() < 0.03
    assert said.mean() == pytest.approx(wrong.mean(), abs=0.01)
    assert np.array_equal(np.argsort(said), np.argsort(sums))
    assert calibrate(sums[:30], wrong[:, :30]) == ()
    # Where all are alike there is still an order.
    level = calibrate(sums, np.tile(np.arange(2000) % 2 == 0, (2, 1)))
    assert all(one[1] < other[1] for one, other in pairwise(level))
    assert len(calibrate(np.zeros(2000), wrong)) == 1
    assert len(calibrate(np.full(2000, 0.1234564), wrong)) == 1


def test_networks_that_are_always_right_teach_nothing() -> None:
    seen, wrong = drawn()
    with pytest.raises(DataError, match="right, or wrong, about every single image"):
        weigh(signals(seen, LATENT_MAP), np.zeros_like(wrong))
