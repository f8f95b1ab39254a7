"""From a severity in [0, 1] and randomness to the extent of a change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

Option = TypeVar("Option")

# photo (RGB), severity in [0, 1], randomness → RGB
Distortion = Callable[[Image.Image, float, np.random.Generator], Image.Image]

SPREAD = 0.05  # of the whole range, to either side of where the severity points


def amount(mild: float, strong: float, severity: float, rng: np.random.Generator) -> float:
    """A value near where the severity points between the two ends, never outside them."""
    place = min(max(severity + rng.uniform(-SPREAD, SPREAD), 0.0), 1.0)
    return mild + (strong - mild) * place


def factor(mild: float, strong: float, severity: float, rng: np.random.Generator) -> float:
    """A factor between two ends above 1, spaced by ratio; in half of the cases its inverse."""
    log = amount(math.log(mild), math.log(strong), severity, rng)
    return math.exp(log if rng.random() < 0.5 else -log)


def pick(options: Sequence[Option], rng: np.random.Generator) -> Option:
    return options[int(rng.integers(len(options)))]
