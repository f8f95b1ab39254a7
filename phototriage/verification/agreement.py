"""How far two images agree once one is laid over the other: where, and at three scales."""

from __future__ import annotations

import math
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
DETAIL_WINDOW = 5
EDGE = 2  # pixels inside a plain border that its edge reaches
FILLED = 0.6  # of a window, by the overlap
LEAST_PLACES = 20  # that show anything
STRONG = 0.25  # share of these places that have the greatest contrast
STRONG_DISAGREEMENT = 0.7  # a correlation below it, where the contrast is great
BLUR_BEFORE = 0.45  # pixels of the result, before an image is reduced
REDUCED = 0.7  # from here on an image counts as reduced


class Scale(NamedTuple):
    """What counts as content and as disagreement. `noise` and `content` are variances of grey levels (0–255)."""

    noise: float
    content: float
    disagreement: float  # a correlation below it


FINE = Scale(noise=6, content=25, disagreement=0.35)
DETAIL = Scale(noise=20, content=80, disagreement=0.35)
COARSE = Scale(noise=4, content=12, disagreement=0.5)


@dataclass(frozen=True)
class Agreement:
    """Local correlation of two images after alignment, over places that show anything in either.

    content: share of the overlap that shows anything. amount: logarithm of 1 plus so many windows. median,
    lower_quarter, lower_tenth: of the correlation; weighted: its mean, weighted by contrast. disagreement: share of
    those places below the scale's bound; largest_disagreement: the largest such region that hangs together, as a share
    of the overlap. strong_…: the same of the quarter of places with the greatest contrast, where noise hardly counts.
    balance: contrast of the image that has less of it, over that of the other, summed over all places. side_…: of the
    image that has more of its own content found again in the other: a watermark adds content, but the photo's own is
    all there. Without content all correlations are 0, and all disagrees.
    """

    content: float
    amount: float = 0.0
    median: float = 0.0
    lower_quarter: float = 0.0
    lower_tenth: float = 0.0
    weighted: float = 0.0
    disagreement: float = 1.0
    largest_disagreement: float = 1.0
    strong_median: float = 0.0
    strong_tenth: float = 0.0
    strong_disagreement: float = 1.0
    largest_strong_disagreement: float = 1.0
    balance: float = 0.0
    side_weighted: float = 0.0
    side_disagreement: float = 1.0
    side_strong_tenth: float = 0.0


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
    inner: Mask | None = None  # of the overlap, what is inside the plain borders of both, if any has some


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
    inside = _inside(source, target, affine) if source.content_box or target.content_box else None
    inner = None if inside is None else overlap & inside
    return Overlay(laid, target.grey.astype(np.float32), overlap, into_b, *shares, inner)


def _inside(source: Signature, target: Signature, affine: Affine) -> Mask:
    """What is inside the plain borders of both, in the target's frame; the borders' own edges aren't."""
    height, width = target.grey.shape
    laid = cv2.warpAffine(_content(source), affine, (width, height), flags=cv2.INTER_NEAREST)
    return (laid > 0) & (_content(target) > 0)


def _content(signature: Signature) -> NDArray[np.uint8]:
    box, mask = signature.content_box, np.ones(signature.grey.shape, np.uint8)
    if box is not None:
        mask[:] = 0
        rows = slice(math.ceil(box.top) + EDGE, math.floor(box.bottom) - EDGE)
        mask[rows, math.ceil(box.left) + EDGE : math.floor(box.right) - EDGE] = 1
    return mask


def light_of(overlay: Overlay) -> Light:
    """By least squares over what both show; a plain A is only brighter or darker."""
    laid, under = (grey[overlay.overlap].astype(np.float64) for grey in (overlay.laid, overlay.under))
    a, b = (laid, under) if overlay.into_b else (under, laid)
    variance = float(a.var())
    contrast = float(((a - a.mean()) * (b - b.mean())).mean()) / variance if variance > 0 else 1.0
    return Light(contrast, float(b.mean() - contrast * a.mean()))


def fine(overlay: Overlay) -> Agreement:
    """At the resolution of the coarser image, in windows of a twentieth of its side."""
    return _compared(overlay, overlay.overlap, _fine_window(overlay), FINE)


def inner(overlay: Overlay) -> Agreement | None:
    """As `fine`, of what lies inside the plain borders of both: two photos on one page have the page in common. None
    where neither has such borders."""
    if overlay.inner is None:
        return None
    return _compared(overlay, overlay.inner, _fine_window(overlay), FINE)


def detail(overlay: Overlay) -> Agreement:
    """In small windows, where there is much contrast: such as the letters of a text."""
    return _compared(overlay, overlay.overlap, DETAIL_WINDOW, DETAIL)


def whole(overlay: Overlay) -> float:
    """Correlation of all that overlaps, at once; 0 where one is plain."""
    laid, under = overlay.laid[overlay.overlap], overlay.under[overlay.overlap]
    laid, under = laid - laid.mean(), under - under.mean()
    lengths = float((laid * laid).sum()) * float((under * under).sum())
    return float((laid * under).sum()) / math.sqrt(lengths + 1)


class _Local(NamedTuple):
    """Of the window around each place (h, w): its correlation, its variance in either image, whether it shows anything,
    and whether the overlap fills it."""

    correlation: Grey
    variance_left: Grey
    variance_right: Grey
    shows: Mask
    filled: Mask


class Glance(NamedTuple):
    """What tells one hypothesis from another, at the scale of `coarse`: the same numbers as there, and what the rest
    takes to compute."""

    median: float
    disagreement: float
    local: _Local


def glance(overlay: Overlay) -> Glance:
    local = _coarsely(overlay)
    values = local.correlation[local.shows]
    if len(values) < LEAST_PLACES:
        return Glance(0.0, 1.0, local)
    return Glance(_quantiles(values, 0.5)[0], float((values < COARSE.disagreement).mean()), local)


def coarse(glanced: Glance) -> Agreement:
    """At COARSE_SIDE pixels, where noise and blur hardly count."""
    return _agreement(glanced.local, COARSE_WINDOW, COARSE)


def _coarsely(overlay: Overlay) -> _Local:
    height, width = overlay.laid.shape
    share = COARSE_SIDE / max(height, width)
    size = max(4, round(width * share)), max(4, round(height * share))
    weight = cv2.resize(overlay.overlap.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    greys = []
    for grey in (overlay.laid, overlay.under):
        reduced = cv2.resize(grey * overlay.overlap, size, interpolation=cv2.INTER_AREA)
        blurred: Grey = cv2.GaussianBlur(reduced / np.maximum(weight, 1e-3), (0, 0), 0.8).astype(np.float32, copy=False)
        greys.append(blurred)
    return _correlation(greys[0], greys[1], weight > 0.95, COARSE_WINDOW, COARSE)


def disagreeing(overlay: Overlay) -> Mask:
    """bool (h, w): where the overlay shows anything, and disagrees, at the scale of `fine`."""
    local = _correlation(overlay.laid, overlay.under, overlay.overlap, _fine_window(overlay), FINE)
    return local.shows & (local.correlation < FINE.disagreement)


def _fine_window(overlay: Overlay) -> int:
    larger: int = max(overlay.laid.shape)
    return max(LEAST_WINDOW, round(larger / FINE_WINDOWS) | 1)


def _correlation(left: Grey, right: Grey, overlap: Mask, window: int, scale: Scale) -> _Local:
    mask = overlap.astype(np.float32)
    count = _sums(mask, window)
    filled = (count > FILLED * window**2) & overlap
    share: Grey = (1 / np.maximum(count, 1)).astype(np.float32, copy=False)
    left_mask, right_mask = left * mask, right * mask
    mean_left, mean_right = _sums(left_mask, window) * share, _sums(right_mask, window) * share
    variance_left: Grey = _sums(left * left_mask, window) * share - mean_left**2
    variance_right: Grey = _sums(right * right_mask, window) * share - mean_right**2
    covariance = _sums(left * right_mask, window) * share - mean_left * mean_right
    deviations = np.sqrt((variance_left + scale.noise) * (variance_right + scale.noise))
    shows = filled & (np.maximum(variance_left, variance_right) > scale.content)
    correlation: Grey = (covariance / deviations).astype(np.float32, copy=False)
    return _Local(correlation, variance_left, variance_right, shows, filled)


def _compared(overlay: Overlay, overlap: Mask, window: int, scale: Scale) -> Agreement:
    return _agreement(_correlation(overlay.laid, overlay.under, overlap, window, scale), window, scale)


def _agreement(local: _Local, window: int, scale: Scale) -> Agreement:
    values = local.correlation[local.shows]
    places, area = len(values), max(1, int(local.filled.sum()))
    if places < LEAST_PLACES:
        return Agreement(places / area)
    variances = np.stack([local.variance_left[local.shows], local.variance_right[local.shows]])
    sides = [_side(values, variance, scale) for variance in variances]
    lesser, greater = variances.min(axis=0), variances.max(axis=0)
    contrast = np.sqrt(greater)
    is_strong = greater >= _quantiles(greater, 1 - STRONG)[0]
    strong = values[is_strong]
    tenth, quarter, median = _quantiles(values, 0.1, 0.25, 0.5)
    strong_tenth, strong_median = _quantiles(strong, 0.1, 0.5)
    disagrees = values < scale.disagreement
    strongly_disagrees = is_strong & (values < STRONG_DISAGREEMENT)
    return Agreement(
        content=places / area,
        amount=math.log1p(places / window**2),
        median=median,
        lower_quarter=quarter,
        lower_tenth=tenth,
        weighted=float((contrast * values).sum() / contrast.sum()),
        disagreement=float(disagrees.mean()),
        largest_disagreement=_largest_region(local.shows, disagrees) / area,
        strong_median=strong_median,
        strong_tenth=strong_tenth,
        strong_disagreement=float(strongly_disagrees.sum()) / len(strong),
        largest_strong_disagreement=_largest_region(local.shows, strongly_disagrees) / area,
        balance=float(lesser.mean() / greater.mean()),
        side_weighted=max(side.weighted for side in sides),
        side_disagreement=min(side.disagreement for side in sides),
        side_strong_tenth=max(side.strong_tenth for side in sides),
    )


class _Side(NamedTuple):
    weighted: float
    disagreement: float
    strong_tenth: float


def _side(values: Grey, variance: Grey, scale: Scale) -> _Side:
    """The correlations (n,) where one image, whose variances (n,) are given, shows anything."""
    own = variance > scale.content
    if own.sum() < LEAST_PLACES:
        return _Side(0.0, 1.0, 0.0)
    values, contrast = values[own], np.sqrt(variance[own])
    strong = values[contrast >= _quantiles(contrast, 1 - STRONG)[0]]
    return _Side(
        float((contrast * values).sum() / contrast.sum()),
        float((values < scale.disagreement).mean()),
        _quantiles(strong, 0.1)[0],
    )


def _quantiles(values: Grey, *shares: float) -> list[float]:
    """Of values (n,), each the one at that place among them; np.quantile takes several times as long."""
    places = [int(share * (len(values) - 1)) for share in shares]
    return [float(value) for value in np.partition(values, places)[places]]


def _largest_region(shows: Mask, chosen: Mask) -> int:
    """Pixels of the largest region that hangs together, of the places that show anything and are `chosen` (n,)."""
    marks = np.zeros(shows.shape, np.uint8)
    marks[shows] = chosen
    regions, _, measures, _ = cv2.connectedComponentsWithStats(marks, connectivity=4)
    return int(measures[1:, cv2.CC_STAT_AREA].max()) if regions > 1 else 0


def _sums(values: Grey, window: int) -> Grey:
    """Of the window around each place; nothing lies outside."""
    sums = cv2.boxFilter(values, -1, (window, window), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.astype(np.float32, copy=False)
