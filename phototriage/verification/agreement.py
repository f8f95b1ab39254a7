"""How far two images agree once one is laid over the other: where, and at two scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from phototriage.verification.hypothesis import Affine, Hypothesis
from phototriage.verification.signature import Signature

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_OVERLAP = 64  # pixels
FINE_WINDOWS = 20  # on the larger side of the image
LEAST_WINDOW = 7
COARSE_SIDE, COARSE_WINDOW = 64, 9
FILLED = 0.6  # of a window, by the overlap
LEAST_PLACES = 20  # that show anything
BLUR_BEFORE = 0.45  # pixels of the result, before an image is reduced
REDUCED = 0.7  # from here on an image counts as reduced


class Scale(NamedTuple):
    """What counts as content and as disagreement. `noise` and `content` are variances of grey levels (0–255)."""

    noise: float
    content: float
    disagreement: float  # a correlation below it


FINE = Scale(noise=6, content=25, disagreement=0.35)
COARSE = Scale(noise=4, content=12, disagreement=0.5)


@dataclass(frozen=True)
class Agreement:
    """Local correlation of two images after alignment, over places that show anything in either.

    content: share of the overlap that shows anything. median, lower_quarter, lower_tenth: of the correlation.
    disagreement: share of those places below the scale's bound; largest_disagreement: the largest such region that
    hangs together, as a share of the overlap. Without content all correlations are 0, and all disagrees.
    """

    content: float
    median: float
    lower_quarter: float
    lower_tenth: float
    disagreement: float
    largest_disagreement: float


class Light(NamedTuple):
    """Grey levels (0–255) of B are contrast · (those of A) + brightness."""

    contrast: float
    brightness: float


@dataclass(frozen=True)
class Overlay:
    """A laid over B (`into_b`), or B over A, in the frame of the one that has fewer pixels for the same part: float32
    (h, w) grey of both, and where both are."""

    laid: Grey
    under: Grey
    overlap: Mask
    into_b: bool
    share_of_a: float  # of A's area, that is in B
    share_of_b: float


def lay_over(a: Signature, b: Signature, hypothesis: Hypothesis) -> Overlay | None:
    """None where next to nothing overlaps."""
    into_b = hypothesis.scale < 1  # B shows it with fewer pixels
    source, target = (a, b) if into_b else (b, a)
    affine: Affine = hypothesis.affine
    if not into_b:
        affine = cv2.invertAffineTransform(affine).astype(np.float64)
    height, width = target.grey.shape
    grey = source.grey
    reduction = min(hypothesis.scale, 1 / hypothesis.scale)
    if reduction < REDUCED:
        grey = cv2.GaussianBlur(grey, (0, 0), BLUR_BEFORE / reduction).astype(np.uint8, copy=False)
    laid = cv2.warpAffine(grey, affine, (width, height), flags=cv2.INTER_LINEAR).astype(np.float32)
    overlap = cv2.warpAffine(np.ones(grey.shape, np.float32), affine, (width, height)) > 0.99
    pixels = int(overlap.sum())
    if pixels < LEAST_OVERLAP:
        return None
    area = abs(float(np.linalg.det(affine[:, :2]))) * grey.size  # of the source, in the target's pixels
    of_target, of_source = pixels / overlap.size, min(1.0, pixels / area)
    shares = (of_source, of_target) if into_b else (of_target, of_source)
    return Overlay(laid, target.grey.astype(np.float32), overlap, into_b, *shares)


def light_of(overlay: Overlay) -> Light:
    """By least squares over what both show; a plain A is only brighter or darker."""
    laid, under = (grey[overlay.overlap].astype(np.float64) for grey in (overlay.laid, overlay.under))
    a, b = (laid, under) if overlay.into_b else (under, laid)
    variance = float(a.var())
    contrast = float(((a - a.mean()) * (b - b.mean())).mean()) / variance if variance > 0 else 1.0
    return Light(contrast, float(b.mean() - contrast * a.mean()))


def fine(overlay: Overlay) -> Agreement:
    """At the resolution of the coarser image, in windows of a twentieth of its side."""
    return _agreement(overlay.laid, overlay.under, overlay.overlap, _fine_window(overlay), FINE)


def coarse(overlay: Overlay) -> Agreement:
    """At COARSE_SIDE pixels, where noise and blur hardly count."""
    height, width = overlay.laid.shape
    share = COARSE_SIDE / max(height, width)
    size = max(4, round(width * share)), max(4, round(height * share))
    weight = cv2.resize(overlay.overlap.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    greys = []
    for grey in (overlay.laid, overlay.under):
        reduced = cv2.resize(grey * overlay.overlap, size, interpolation=cv2.INTER_AREA)
        blurred: Grey = cv2.GaussianBlur(reduced / np.maximum(weight, 1e-3), (0, 0), 0.8).astype(np.float32, copy=False)
        greys.append(blurred)
    return _agreement(greys[0], greys[1], weight > 0.95, COARSE_WINDOW, COARSE)


def disagreeing(overlay: Overlay) -> Mask:
    """bool (h, w): where the overlay shows anything, and disagrees, at the scale of `fine`."""
    correlation, shows, _ = _correlation(overlay.laid, overlay.under, overlay.overlap, _fine_window(overlay), FINE)
    return shows & (correlation < FINE.disagreement)


def _fine_window(overlay: Overlay) -> int:
    larger: int = max(overlay.laid.shape)
    return max(LEAST_WINDOW, round(larger / FINE_WINDOWS) | 1)


def _correlation(left: Grey, right: Grey, overlap: Mask, window: int, scale: Scale) -> tuple[Grey, Mask, Mask]:
    """Of the window around each place; where it shows anything; and where the overlap fills it."""
    mask = overlap.astype(np.float32)
    count = _sums(mask, window)
    filled = (count > FILLED * window**2) & overlap
    count = np.maximum(count, 1)
    left_mask, right_mask = left * mask, right * mask
    mean_left, mean_right = _sums(left_mask, window) / count, _sums(right_mask, window) / count
    variance_left = _sums(left * left_mask, window) / count - mean_left**2
    variance_right = _sums(right * right_mask, window) / count - mean_right**2
    covariance = _sums(left * right_mask, window) / count - mean_left * mean_right
    deviations = np.sqrt((variance_left + scale.noise) * (variance_right + scale.noise))
    correlation: Grey = (covariance / deviations).astype(np.float32, copy=False)
    return correlation, filled & (np.maximum(variance_left, variance_right) > scale.content), filled


def _agreement(left: Grey, right: Grey, overlap: Mask, window: int, scale: Scale) -> Agreement:
    correlation, shows, filled = _correlation(left, right, overlap, window, scale)
    places, area = int(shows.sum()), max(1, int(filled.sum()))
    if places < LEAST_PLACES:
        return Agreement(places / area, 0, 0, 0, 1, 1)
    tenth, quarter, median = (float(value) for value in np.percentile(correlation[shows], (10, 25, 50)))
    disagrees = shows & (correlation < scale.disagreement)
    regions, _, measures, _ = cv2.connectedComponentsWithStats(disagrees.astype(np.uint8), connectivity=4)
    largest = int(measures[1:, cv2.CC_STAT_AREA].max()) if regions > 1 else 0
    return Agreement(places / area, median, quarter, tenth, int(disagrees.sum()) / places, largest / area)


def _sums(values: Grey, window: int) -> Grey:
    """Of the window around each place; nothing lies outside."""
    sums = cv2.boxFilter(values, -1, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.astype(np.float32, copy=False)
