"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUPS = 10


def calibration_error(probabilities: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Expected calibration error (Naeini 2015): in GROUPS ranges of probability of one width, the difference between
    the mean probability and the share that is the same, weighted by how many pairs a range has."""
    places = np.minimum((probabilities * GROUPS).astype(int), GROUPS - 1)
    error = 0.0
    for place in range(GROUPS):
        inside = places == place
        if inside.any():
            error += float(inside.mean()) * abs(float(probabilities[inside].mean()) - float(same[inside].mean()))
    return error
