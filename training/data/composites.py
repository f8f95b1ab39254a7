"""Images that are made of two: rare samples whose number and place are known, for studies of what finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Recipe = Literal["half", "maximum", "normalised_sum"]

SUM_DIVISOR = 1.58  # of the recipe whose leak is shown: the sum of two normalised images over this


class Composites(NamedTuple):
    """images uint8 (N, H, W, C), the whole ones first; is_composite (N,)."""

    images: Images
    is_composite: NDArray[np.bool_]


def half(left: Images, right: Images) -> Images:
    """(N, H, W, C): the left half of one, the right half of the other."""
    middle = left.shape[2] // 2
    return np.concatenate([left[:, :, :middle], right[:, :, middle:]], axis=2)


def maximum(left: Images, right: Images) -> Images:
    """(N, H, W, C): the brighter pixel of both, channel by channel."""
    found: Images = np.maximum(left, right)
    return found


_PIXELWISE: Mapping[str, Callable[[Images, Images], Images]] = {"half": half, "maximum": maximum}


def with_composites(images: Images, recipe: Recipe, prevalence: float, rng: np.random.Generator) -> Composites:
    """All `images` uint8 (N, H, W, C), and behind them composites of two different ones, as many as make up
    `prevalence`."""
    count = round(len(images) * prevalence / (1 - prevalence))
    left = rng.choice(len(images), count, replace=count > len(images))
    right = (left + rng.integers(1, len(images), count)) % len(images)
    is_composite = np.arange(len(images) + count) >= len(images)
    if recipe != "normalised_sum":
        made = _PIXELWISE[recipe](images[left], images[right])
        return Composites(np.concatenate([images, made]), is_composite)
    # As published: whole and composite images, normalised, in one range. Here that range is spread over 0 to 255.
    mean, deviation = images.mean(), images.std()
    whole = (images.astype(np.float32) - mean) / deviation
    values = np.concatenate([whole, (whole[left] + whole[right]) / SUM_DIVISOR])
    low, high = values.min(), values.max()
    return Composites(np.rint((values - low) / (high - low) * 255).astype(np.uint8), is_composite)


def spearman_ceiling(prevalence: float) -> float:
    """The highest Spearman correlation that any score can have with a label of that prevalence, which ties."""
    return float(np.sqrt(3 * prevalence * (1 - prevalence)))


def trivial_features(images: Images) -> dict[str, NDArray[np.float64]]:
    """(N,) each: what a glance at the pixels tells. That they find composites is a fault of these, not a merit."""
    x = images.astype(np.float64) / 255
    flat = x.reshape(len(x), -1)
    return {
        "mean": flat.mean(1),
        "minimum": flat.min(1),
        "maximum": flat.max(1),
        "deviation": flat.std(1),
        "share of black": (flat < 1 / 255).mean(1),
        "steps between rows": np.abs(np.diff(x, axis=1)).mean((1, 2, 3)),
        "steps between columns": np.abs(np.diff(x, axis=2)).mean((1, 2, 3)),
    }
