"""What the same measurement with several random seeds comes to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t


def mean_and_reach(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and half of its 95 % interval by Student's t; None for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None
    return mean, float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def mean_cell(values: Sequence[float], digits: int = 3) -> str:
    """As a cell of a table."""
    mean, reach = mean_and_reach(values)
    return f"{mean:.{digits}f}" if reach is None else f"{mean:.{digits}f} ± {reach:.{digits}f}"
