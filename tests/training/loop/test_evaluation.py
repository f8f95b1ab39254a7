"""Figures and intervals against values from textbooks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.loop.evaluation import accuracy_metric, cross_entropy
from training.statistics.intervals import wilson


def test_cross_entropy_by_hand() -> None:
    logits = np.array([[0, 0], [math.log(3), 0]], np.float32)
    assert cross_entropy(logits, np.array([0, 1])) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_cross_entropy_of_large_logits_is_finite() -> None:
    assert cross_entropy(np.array([[1e4, 0]], np.float32), np.array([1])) == pytest.approx(1e4)


def test_accuracy_metric() -> None:
    metric = accuracy_metric(np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0]), "drawn", "test")
    assert (metric.value, metric.n, metric.set, metric.split) == (0.75, 4, "drawn", "test")
    assert metric.interval == pytest.approx(wilson(3, 4), abs=1e-5)
