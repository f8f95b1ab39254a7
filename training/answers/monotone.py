"""Logistic regression whose weights aren't negative: a signal that says "harder" never makes an image easier."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

STRENGTH = 1.0  # of the images against the prior that all weights are small


def regress(columns: Floats, share: Floats, weight: Floats | None = None) -> tuple[Floats, float]:
    """Weights (F,) ≥ 0 and the constant of log-odds, from columns (n, F), the share (n,) of each row that is true, and
    how much each row counts (n,)."""
    counts = np.ones(len(share)) if weight is None else weight

    def loss(parameters: Floats) -> tuple[float, Floats]:
        sums = parameters[0] + columns @ parameters[1:]
        prior = (parameters[1:] ** 2).sum() / (2 * STRENGTH)
        slope = counts * (1 / (1 + np.exp(-sums)) - share)
        value = (counts * (np.logaddexp(0, sums) - share * sums)).sum() + prior
        return float(value), np.concatenate([[slope.sum()], columns.T @ slope + parameters[1:] / STRENGTH])

    bounds = [(None, None)] + [(0, None)] * columns.shape[1]
    found = minimize(loss, np.zeros(columns.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[1:], float(found[0])
