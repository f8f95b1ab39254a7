"""Signals worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.difficulty.signals import (
    AUTOENCODED,
    KINDS,
    SIGNALS,
    LatentMap,
    Reconstruction,
    SignalInputs,
    brightness,
    centre_distances,
    channel_sums,
    contradiction,
    entropy,
    log_odds,
    margin,
    reference_log_probabilities,
    sharpness,
    signals,
    softmax,
)


def test_entropy_of_probabilities_and_of_latents() -> None:
    even, sure, half = np.full((1, 4), 0.25), np.array([[0.0, 3, 0, 0]]), np.array([[2.0, 2, 0, 0]])
    assert entropy(even)[0] == pytest.approx(1)
    assert entropy(sure)[0] == 0
    assert entropy(half)[0] == pytest.approx(0.5)
    assert entropy(np.zeros((1, 4)))[0] == pytest.approx(1)  # nothing says nothing


def test_margin_and_softmax() -> None:
    logits = np.array([[3.0, 1, 2], [5, 5, 0], [1000, 0, -1000]])
    assert margin(logits).tolist() == [1, 0, 1000]
    assert softmax(logits).sum(1) == pytest.approx(np.ones(3))


def test_distances_to_centres() -> None:
    centres = np.array([[0.0, 0], [1, 0]])
    latent = np.array([[0.0, 0], [0.5, 0], [0.5, 10], [1, 0], [2, 0]])
    nearest, equidistance = centre_distances(latent, centres)
    assert nearest == pytest.approx([0, 0.5, np.hypot(0.5, 10), 0, 1])
    # At a centre the difference is the whole distance between the two; between them, and far off, none.
    assert equidistance == pytest.approx([-1, 0, 0, -1, -1])


def test_of_three_centres_the_two_nearest_count() -> None:
    centres = np.array([[0.0, 0], [2, 0], [0, 100]])
    nearest, equidistance = centre_distances(np.array([[0.5, 0]]), centres)
    unit = (2 + 100 + np.hypot(2, 100)) / 3
    assert nearest[0] == pytest.approx(0.5 / unit)
    assert equidistance[0] == pytest.approx(-(1.5 - 0.5) / 2)


def test_a_latent_that_speaks_for_another_class_contradicts() -> None:
    # One number: its log-odds speak for class 0, their double against class 1; class 2 is expected at 1.
    readout = np.array([[0.0, 0, 1], [1, -2, 0]])
    latent = np.array([[0.5], [1 / (1 + np.exp(-3))]])
    assert reference_log_probabilities(latent, readout) == pytest.approx(np.array([[0, 0, 1], [3, -6, 1]]))
    assert contradiction(latent, readout, np.array([2, 2])) == pytest.approx([-1, 2])
    assert contradiction(latent, readout, np.array([0, 1])) == pytest.approx([1, 9])


def test_log_odds_are_finite_at_the_ends() -> None:
    odds = log_odds(np.array([[0.0, 0.5, 1]]))
    assert odds == pytest.approx(np.array([[-np.log(9999), 0, np.log(9999)]]), rel=1e-6)


def test_centres_that_coincide_give_finite_numbers() -> None:
    nearest, equidistance = centre_distances(np.array([[1.0, 0]]), np.zeros((2, 2)))
    assert np.isfinite([*nearest, *equidistance]).all()


def test_sharpness_and_brightness() -> None:
    flat = np.full((1, 5, 5, 3), 51, np.uint8)
    assert sharpness(channel_sums(flat), 3)[0] == 0
    assert brightness(channel_sums(flat), 3)[0] == pytest.approx(0.2)
    dot = np.zeros((1, 3, 3, 1), np.uint8)
    dot[0, 1, 1] = 10
    assert sharpness(channel_sums(dot), 1)[0] == 0  # one place, so no variance
    spot = np.zeros((1, 5, 5, 1), np.uint8)
    spot[0, 2, 2] = 10
    # −40 at the middle, 10 at its four neighbours, 0 at the corners: mean 0.
    assert sharpness(channel_sums(spot), 1)[0] == pytest.approx((1600 + 4 * 100) / 9)
    assert sharpness(channel_sums(np.zeros((2, 1, 9, 3), np.uint8)), 3).tolist() == [0, 0]


def test_the_sharpest_picture_is_not_too_sharp_for_16_bits() -> None:
    board = np.indices((6, 6)).sum(0)[None, :, :, None] % 2 * np.full(3, 255)
    values = board.mean(3)
    middle = values[:, 1:-1, 1:-1]
    laplacian = values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:] - 4 * middle
    assert sharpness(channel_sums(board.astype(np.uint8)), 3)[0] == pytest.approx(laplacian.var())


def test_signals_are_finite_for_every_input_and_higher_for_what_is_harder() -> None:
    rng = np.random.default_rng(0)
    pixels = np.stack([rng.integers(0, 256, (8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)])
    inputs = SignalInputs(
        logits=np.array([[9.0, 0], [0.1, 0]], np.float32),
        pixels=pixels,
        smallest_side=np.array([500, 1]),
        reconstruction=Reconstruction(
            latent=np.array([[1.0, 0, 0], [0.5, 0.5, 0]], np.float32),
            l1=np.array([0.1, 0.4], np.float32),
            dissimilarity=np.array([0.1, 0.9], np.float32),
        ),
    )
    readout = np.array([[0.0, 0], [1, 0], [0, 1], [0, 0]])
    values = signals(inputs, LatentMap(np.array([[1.0, 0, 0], [0, 1, 0]]), readout))
    assert tuple(values) == SIGNALS
    assert {name for names in KINDS.values() for name in names} < set(SIGNALS)
    for name, (easy, hard) in values.items():
        assert np.isfinite([easy, hard]).all(), name
        assert hard > easy, name
    plain = signals(inputs._replace(reconstruction=None), None)
    assert plain == {name: pytest.approx(values[name]) for name in SIGNALS if name not in AUTOENCODED}
    with pytest.raises(ValueError, match="needs an autoencoder's"):
        signals(inputs._replace(reconstruction=None), LatentMap(np.eye(2), readout))
