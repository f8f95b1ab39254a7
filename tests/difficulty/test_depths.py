"""Signals of features at two depths, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.difficulty.depths import DEPTH_SIGNALS, DepthMap, depth_signals, rooted
from phototriage.difficulty.signals import Features

# Inner features (2): the head says the first class by the first one, the second by the second. Their axis is the first
# one. Last features (2) around (1, 1), by their square roots; their axis is the first one.
DEPTHS = DepthMap(
    head=np.array([[0.5, 0], [2, 0], [0, 2]]),
    inner_mean=np.array([1.0, 1]),
    inner_axes=np.array([[1.0, 0]]),
    last_mean=np.array([1.0, 1]),
    last_axes=np.array([[1.0, 0]]),
)


def signals_of(inner: list[float], last: list[float], predicted: int) -> dict[str, float]:
    features = Features(np.array([inner]), np.array([last]))
    found = depth_signals(features, np.array([predicted]), DEPTHS)
    assert tuple(found) == DEPTH_SIGNALS
    return {name: float(value[0]) for name, value in found.items()}


def test_inner_features_contradict_by_log_odds() -> None:
    assert signals_of([3, 1], [1, 1], 0)["inner_contradiction"] == pytest.approx(2 - 6.5)
    assert signals_of([3, 1], [1, 1], 1)["inner_contradiction"] == pytest.approx(6.5 - 2)


def test_what_lies_outside_the_axes_is_strange() -> None:
    along = signals_of([5, 1], [16, 1], 0)  # square roots (4, 1): three along the axis, none beside it
    assert (along["last_beyond"], along["last_outside"], along["inner_beyond"]) == pytest.approx((0, 0, 0))
    beside = signals_of([1, 4], [16, 25], 0)  # three along, four beside
    assert (beside["last_beyond"], beside["last_outside"], beside["inner_beyond"]) == pytest.approx((4, 4 / 5, 3))


def test_an_image_at_the_mean_is_not_strange() -> None:
    assert signals_of([1, 1], [1, 1], 0)["last_outside"] == 0


def test_roots_keep_the_sign() -> None:
    assert rooted(np.array([[-4.0, 0, 9]])).tolist() == [[-2, 0, 3]]


def test_shapes_belong_together() -> None:
    assert DEPTHS.fits(2)
    assert not DEPTHS.fits(3)
    assert not DEPTHS._replace(last_axes=np.zeros((1, 3))).fits(2)
    assert not DEPTHS._replace(inner_mean=np.zeros(3)).fits(2)
