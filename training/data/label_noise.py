"""Wrong labels on purpose: how many, which, and how well a score finds them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Noise = Literal["symmetric", "pair"]


def with_noise(
    labels: NDArray[np.int64], classes: int, rate: float, kind: Noise, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels (n,) of which a share `rate`, drawn, is wrong, and which are. `symmetric`: any other class, all alike;
    `pair`: the next class, as where two are easily confused."""
    wrong = np.zeros(len(labels), bool)
    wrong[rng.permutation(len(labels))[: round(rate * len(labels))]] = True
    shift = np.ones(len(labels), np.int64) if kind == "pair" else rng.integers(1, classes, len(labels))
    return np.where(wrong, (labels + shift) % classes, labels), wrong


def found_in_budget(score: NDArray[np.floating], wrong: NDArray[np.bool_]) -> float:
    """The share of wrong labels among as many highest scores (n,) as there are wrong labels."""
    budget = int(wrong.sum())
    return float(wrong[np.argsort(-score, kind="stable")[:budget]].mean())


def margin_doubt(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): the greatest logit of another class less that of the label; logits (n, K). The negated logit margin."""
    rows = np.arange(len(labels))
    others = logits.astype(np.float64)
    own = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    found: NDArray[np.float64] = others.max(1) - own
    return found
