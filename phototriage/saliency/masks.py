"""Input gradients to saliency masks and FeatOut's removal. NumPy only; `training.featout.featout` does it in torch.

Maps are (H, W) float, points are (row, column), areas are in pixels of the model's input. Both pass the
cases of tests/featout_cases.py, worked out by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.saliency.featout_config import FeatOutConfig

FloatMap = NDArray[np.float32]
LEVELS = 2**16 - 1  # to which a map is quantised to rank its values
MIN_MEAN_LEVEL = 5_000  # half a level is 1e-4 of it
ROUNDING = 1 + 1e-9  # an area that is a whole number of pixels must not lose one to rounding
FLAT = 1e-6  # a map whose range is below this share of its maximum shows no preference for any pixel


@dataclass(frozen=True)
class Patch:
    """A part that FeatOut removes: centre and radius in pixels, intensity of the map there in (0, 1]."""

    row: float
    column: float
    radius: float
    intensity: float


@dataclass(frozen=True)
class Summary:
    """How concentrated a map is. entropy: of the map as a distribution over pixels, over its maximum log(H·W), in [0,
    1]; gini: 0 (even) to 1 (one pixel); top_tenth_share: the share that the strongest tenth of the pixels holds."""

    entropy: float
    gini: float
    top_tenth_share: float


def smooth_map(gradient: NDArray[np.floating]) -> FloatMap:
    """Signed gradient (H, W, C) → map (H, W): absolute, mean over channels, 3×3 mean over the pixels that exist."""
    absolute = np.abs(gradient.astype(np.float32, copy=False))
    # Channel by channel: NumPy's mean over such a short axis takes four times as long.
    magnitude = absolute[..., 0].copy()
    for channel in range(1, absolute.shape[2]):
        magnitude += absolute[..., channel]
    magnitude /= absolute.shape[2]
    padded = np.pad(magnitude, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    height, width = magnitude.shape
    counts = np.outer(_neighbours(height), _neighbours(width))
    smooth: FloatMap = (sums / counts).astype(np.float32)
    return smooth


def _neighbours(length: int) -> FloatMap:
    """How many of a pixel's three neighbours along one axis exist: 2 at both ends, 3 between (1 if it is alone)."""
    index = np.arange(length)
    return (np.minimum(index + 1, length - 1) - np.maximum(index - 1, 0) + 1).astype(np.float32)


def is_flat(smooth: FloatMap) -> bool:
    """Whether the map has no maximum to speak of (constant, zero, or not finite)."""
    peak, low = float(smooth.max()), float(smooth.min())
    return not math.isfinite(peak) or peak <= 0 or peak - low <= FLAT * peak


def gradient_mask(smooth: FloatMap) -> NDArray[np.uint8]:
    """Map (H, W) → 0–255 by its minimum and maximum; a flat map is all zero."""
    if is_flat(smooth):
        return np.zeros(smooth.shape, np.uint8)
    low = smooth.min()
    mask: NDArray[np.uint8] = np.rint((smooth - low) * (255 / (smooth.max() - low))).astype(np.uint8)
    return mask


def featout_patches(smooth: FloatMap, config: FeatOutConfig) -> list[Patch]:
    """The patches that FeatOut removes from the image of the map `smooth` (H, W), strongest first.

    `multi`: each centre is the maximum outside the exclusion disks of those before it (first in reading order if
    several are equal); fewer than `config.patches` where the image has no more room. `single`: the maximum alone;
    its radius is half the side of the square. A flat map has none.
    """
    if is_flat(smooth):
        return []
    height, width = smooth.shape
    peak = float(smooth.max())
    if config.variant == "single":
        row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
        return [Patch(int(row), int(column), square_half_side(height, width, config) + 0.5, 1.0)]
    exclusion = math.sqrt(config.exclusion_share * height * width / (config.patches * math.pi))
    r_max = math.sqrt(config.removal_share * height * width / (config.patches * math.pi))
    rows, columns = np.ogrid[:height, :width]
    remaining = smooth.copy()
    patches = []
    for _ in range(config.patches):
        row, column = np.unravel_index(int(remaining.argmax()), remaining.shape)
        if remaining[row, column] <= 0:
            break
        intensity = float(remaining[row, column]) / peak
        patches.append(Patch(int(row), int(column), r_max * intensity, intensity))
        near = _square(patches[-1], math.ceil(exclusion))
        remaining[near][_squared_distances(patches[-1], rows, columns, near) <= exclusion**2] = -1
    return patches


def featout_strength(smooth: FloatMap, config: FeatOutConfig) -> FloatMap:
    """Map (H, W) → strength (H, W) in [0, 1] with which FeatOut replaces each pixel by the fill."""
    height, width = smooth.shape
    strength = np.zeros((height, width), np.float32)
    rows, columns = np.ogrid[:height, :width]
    for patch in featout_patches(smooth, config):
        if config.variant == "single":
            near = _square(patch, square_half_side(height, width, config))
            strength[near] = np.maximum(strength[near], np.float32(patch.intensity))
            continue
        reach = disk_reach(patch.radius)
        near = _square(patch, math.isqrt(max(0, reach)))
        inside = _squared_distances(patch, rows, columns, near) <= reach
        strength[near][inside] = np.maximum(strength[near][inside], np.float32(patch.intensity))
    return strength


def _square(patch: Patch, reach: int) -> tuple[slice, slice]:
    """The pixels that are at most `reach` rows and columns from the patch's centre, to limit the search to them."""
    row, column = int(patch.row), int(patch.column)
    return slice(max(0, row - reach), row + reach + 1), slice(max(0, column - reach), column + reach + 1)


def _squared_distances(
    patch: Patch, rows: NDArray[np.int64], columns: NDArray[np.int64], near: tuple[slice, slice]
) -> NDArray[np.float64]:
    """Of the pixels `near` from the patch's centre; rows (H, 1) and columns (1, W) are the indices of all pixels."""
    squared: NDArray[np.float64] = (rows[near[0]] - patch.row) ** 2 + (columns[:, near[1]] - patch.column) ** 2
    return squared


def strength_mask(strength: FloatMap) -> NDArray[np.uint8]:
    """Strength in [0, 1] → 0–255."""
    return np.rint(strength * 255).astype(np.uint8)


def square_half_side(height: int, width: int, config: FeatOutConfig) -> int:
    """Half the side of the original's square, without its centre: 4 at 28×28, in proportion at other sizes."""
    return round((math.sqrt(config.square_share * height * width) - 1) / 2)


def disk_reach(radius: float) -> int:
    """The largest squared distance whose lattice disk has at most π·radius² pixels; −1 if not even one.

    Pixels within `radius` of a pixel may number more than the disk's area (5 > π at radius 1); a bound on the
    removed area holds only for pixels that are counted.
    """
    area = math.pi * radius * radius * ROUNDING
    reaches, counts = lattice_counts(math.ceil(radius) + 1)
    fitting = int(np.searchsorted(counts, area, side="right"))
    return int(reaches[fitting - 1]) if fitting else -1


def lattice_counts(radius: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Squared distances that occur within `radius` of a lattice point, ascending, and how many points lie within
    each."""
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    squared = rows**2 + columns**2
    reaches, occurrences = np.unique(squared[squared <= radius * radius], return_counts=True)
    return reaches.astype(np.int64), np.cumsum(occurrences)


def summarise(smooth: FloatMap) -> Summary:
    """How concentrated a map (H, W) is; a flat map counts as even."""
    if is_flat(smooth):
        return Summary(entropy=1.0, gini=0.0, top_tenth_share=0.1)
    # Ranked in 16 bits, where the error is below 1e-4: ten times as fast as in 32.
    levels = np.rint(smooth / smooth.max() * LEVELS).astype(np.uint16)
    coarse = levels.mean() > MIN_MEAN_LEVEL
    ranked = np.sort(levels if coarse else smooth, axis=None, kind="stable").astype(np.float64)
    n, total = ranked.size, ranked.sum()
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ ranked / (n * total))
    top_tenth = float(ranked[-max(1, n // 10) :].sum() / total)
    positive = smooth[smooth > 0].astype(np.float64)
    positive /= positive.sum()
    entropy = float(-(positive @ np.log(positive)) / math.log(n))
    return Summary(entropy=entropy, gini=gini, top_tenth_share=top_tenth)
