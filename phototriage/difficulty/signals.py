"""The signals of difficulty, from the models' outputs for an image: NumPy only.

Every signal is one number for each image, finite for every input; none needs a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["ambiguous", "unusual", "low_quality"]

KINDS: Mapping[Kind, tuple[str, ...]] = {  # what is hard about an image, and the signals that say so
    "ambiguous": ("entropy", "doubt", "small_margin", "centre_equidistance", "contradiction"),
    "unusual": ("reconstruction_l1", "reconstruction_dissimilarity", "centre_distance"),
    "low_quality": ("blur", "darkness", "smallness"),
}
SIGNALS = (*(name for names in KINDS.values() for name in names), "latent_entropy")
AUTOENCODED = (  # those that an autoencoder gives
    *("centre_equidistance", "contradiction", "reconstruction_l1", "reconstruction_dissimilarity", "centre_distance"),
    "latent_entropy",
)

MIN_SHARE = 1e-4  # to which latent values are clipped, away from 0 and from 1
EPSILON = 1e-12  # distances and sums below it count as zero


class Features(NamedTuple):
    """A classifier's features of N images: `inner` (N, C), means over maps before its last layers; `last` (N, D), what
    the logits are made of."""

    inner: NDArray[np.floating]
    last: NDArray[np.floating]


class Reconstruction(NamedTuple):
    """How well N images can be drawn again from a few numbers. latent (N, D) in [0, 1]; l1 (N,): mean absolute
    difference of pixels in [0, 1]; dissimilarity (N,): 1 − SSIM. All float32."""

    latent: NDArray[np.floating]
    l1: NDArray[np.floating]
    dissimilarity: NDArray[np.floating]


class SignalInputs(NamedTuple):
    """The models' outputs for N images: logits (N, K) of the classifier; pixels uint8 (N, H, W, C) of its input;
    smallest_side (N,) of the images themselves, in pixels; what an autoencoder gives, if there is one; features, if the
    classifier gives them."""

    logits: NDArray[np.floating]
    pixels: NDArray[np.uint8]
    smallest_side: NDArray[np.integer]
    reconstruction: Reconstruction | None = None
    features: Features | None = None


class LatentMap(NamedTuple):
    """What the latent says about the classes, in the order of the logits. centres (K, D): each class's mean latent;
    readout (D + 1, K): see `reference_log_probabilities`."""

    centres: NDArray[np.floating]
    readout: NDArray[np.floating]


def signals(inputs: SignalInputs, latent_map: LatentMap | None) -> dict[str, Floats]:
    """The values (N,) of each of SIGNALS, by name; the higher, the harder. Without a latent map, of those that need no
    autoencoder. Raises ValueError where there is one, and no reconstruction."""
    logits = inputs.logits.astype(np.float64)
    probabilities = softmax(logits)
    grey, channels = channel_sums(inputs.pixels), inputs.pixels.shape[3]
    values = {
        "entropy": entropy(probabilities),
        "doubt": 1 - probabilities.max(1),
        "small_margin": -margin(logits),
        "blur": -np.log(sharpness(grey, channels) + 1),
        "darkness": -brightness(grey, channels),
        "smallness": -np.log(inputs.smallest_side.astype(np.float64)),
    }
    if latent_map is not None:
        if inputs.reconstruction is None:
            raise ValueError("a latent map needs an autoencoder's reconstruction")
        values |= _autoencoded(inputs.reconstruction, latent_map, logits.argmax(1))
    return {name: values[name] for name in SIGNALS if name in values}


def _autoencoded(
    reconstruction: Reconstruction, latent_map: LatentMap, predicted: NDArray[np.int64]
) -> dict[str, Floats]:
    """The values of AUTOENCODED."""
    latent = reconstruction.latent.astype(np.float64)
    centres, readout = (part.astype(np.float64) for part in latent_map)
    nearest, equidistance = centre_distances(latent, centres)
    return {
        "reconstruction_l1": reconstruction.l1.astype(np.float64),
        "reconstruction_dissimilarity": reconstruction.dissimilarity.astype(np.float64),
        "centre_distance": nearest,
        "centre_equidistance": equidistance,
        "contradiction": contradiction(latent, readout, predicted),
        "latent_entropy": entropy(latent),
    }


def softmax(logits: NDArray[np.floating]) -> Floats:
    """(…, K) → probabilities (…, K), which sum to 1."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(-1, keepdims=True)
    return probabilities


def entropy(shares: Floats) -> Floats:
    """The entropy (N,) of rows (N, K) of non-negative numbers, each normalised to sum 1, over log K: in [0, 1]."""
    sums = shares.sum(1, keepdims=True)
    uniform = np.full_like(shares, 1 / shares.shape[1])
    parts = np.divide(shares, sums, out=uniform, where=sums > EPSILON)
    logs = np.log(parts, out=np.zeros_like(parts), where=parts > 0)
    entropies: Floats = -(parts * logs).sum(1) / np.log(shares.shape[1])
    return entropies


def margin(logits: Floats) -> Floats:
    """(N, K) → (N,): the greatest logit less the second."""
    best = np.partition(logits, -2, axis=1)
    margins: Floats = best[:, -1] - best[:, -2]
    return margins


def contradiction(latent: Floats, readout: Floats, predicted: NDArray[np.int64]) -> Floats:
    """By how much a reference network is expected, from the latent (N, D), to prefer another class to the classifier's,
    `predicted` (N,): a difference of log-probabilities (N,), 0 where it would be undecided."""
    rows = np.arange(len(latent))
    expected = reference_log_probabilities(latent, readout)
    own = expected[rows, predicted]
    expected[rows, predicted] = -np.inf
    differences: Floats = expected.max(1) - own
    return differences


def reference_log_probabilities(latent: Floats, readout: Floats) -> Floats:
    """The log-probabilities (N, K) that reference networks are expected to give on average, from latent (N, D) in [0,
    1]: linear in the latent's log-odds. readout (D + 1, K): the constant as its first row, then the coefficients."""
    log_probabilities: Floats = readout[0] + log_odds(latent) @ readout[1:]
    return log_probabilities


def log_odds(latent: Floats) -> Floats:
    """Log-odds of numbers in [0, 1], clipped to [MIN_SHARE, 1 − MIN_SHARE]."""
    clipped = np.clip(latent, MIN_SHARE, 1 - MIN_SHARE)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def centre_distances(latent: Floats, centres: Floats) -> tuple[Floats, Floats]:
    """latent (N, D), centres (K, D), K at least 2 → two signals (N,).

    First the distance to the nearest centre, in units of the mean distance between two centres: high for an image that
    is like no class. Second −|‖z − c₁‖ − ‖z − c₂‖| of the two nearest centres, in units of the distance between these
    two, in [−1, 0]: high for an image between two classes, and also for one far from both, which the first signal
    shows.
    """
    distances = _distances(latent, centres)
    mean = _mean_distance(centres.tobytes(), len(centres))
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    first, second = (np.take_along_axis(distances, order[:, place : place + 1], 1)[:, 0] for place in (0, 1))
    apart = np.maximum(np.linalg.norm(centres[order[:, 0]] - centres[order[:, 1]], axis=1), EPSILON)
    return first / mean, -np.minimum(np.abs(second - first) / apart, 1)


@lru_cache(maxsize=64)  # the same few models answer for every image
def _mean_distance(centres: bytes, count: int) -> float:
    """The mean distance between two of `count` float64 points, given as bytes."""
    points = np.frombuffer(centres).reshape(count, -1)
    return max(float(_distances(points, points).sum() / (count * (count - 1))), EPSILON)


def _distances(left: Floats, right: Floats) -> Floats:
    """(N, D), (M, D) → (N, M). By a matrix product, since an array of all differences would be D times as large."""
    squares = (left**2).sum(1)[:, np.newaxis] + (right**2).sum(1) - 2 * left @ right.T
    distances: Floats = np.sqrt(np.maximum(squares, 0))
    return distances


def channel_sums(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """uint8 (N, H, W, C), C up to 10 → sum over the channels (N, H, W). Integers are four times as fast."""
    sums = pixels[..., 0].astype(np.int16)
    for channel in range(1, pixels.shape[3]):
        sums += pixels[..., channel]
    return sums


def sharpness(grey: NDArray[np.int16], channels: int) -> Floats:
    """The variance (N,) of the Laplacian (Pech-Pacheco et al., 2000) of grey images, as means over `channels` channels,
    whose `channel_sums` are `grey` (N, H, W): in squared grey levels; 0 with fewer than three rows or columns."""
    if min(grey.shape[1:]) < 3:
        return np.zeros(len(grey))
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    laplacian += grey[:, 1:-1, :-2]
    laplacian += grey[:, 1:-1, 2:]
    laplacian -= 4 * grey[:, 1:-1, 1:-1]
    # Integer sums are exact, and faster than a variance in floating point.
    pixels = laplacian[0].size
    total = laplacian.sum((1, 2), dtype=np.int64)
    squares = np.einsum("nhw,nhw->n", laplacian, laplacian, dtype=np.int64)
    variances: Floats = (squares / pixels - (total / pixels) ** 2) / channels**2
    return variances


def brightness(grey: NDArray[np.int16], channels: int) -> Floats:
    """The mean (N,), in [0, 1], of images whose `channel_sums` over `channels` channels are `grey` (N, H, W)."""
    means: Floats = grey.mean((1, 2), dtype=np.float64) / (255 * channels)
    return means
