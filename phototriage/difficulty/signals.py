"""From what one pass of the models gives for an image to the signals of its difficulty: NumPy only.

Every signal is one number an image, finite for every input, and says one thing; none needs a label.
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

LEAST_SHARE = 1e-4
SMALLEST = 1e-12  # below it a distance or a sum is none


class SignalInputs(NamedTuple):
    """What the models gave for N images: logits (N, K); latent (N, D) in [0, 1], l1 (N), dissimilarity (N) of the
    autoencoder; pixels uint8 (N, H, W, C) of the classifier's input; smallest_side (N) of the images themselves."""

    logits: NDArray[np.floating]
    latent: NDArray[np.floating]
    l1: NDArray[np.floating]
    dissimilarity: NDArray[np.floating]
    pixels: NDArray[np.uint8]
    smallest_side: NDArray[np.integer]


class LatentMap(NamedTuple):
    """What the latent says of classes, in the order of the logits. centres (K, D): the mean latent of each; readout
    (D + 1, K): see `reference_lean`."""

    centres: NDArray[np.floating]
    readout: NDArray[np.floating]


def signals(seen: SignalInputs, latent_map: LatentMap) -> dict[str, Floats]:
    """Each of SIGNALS (N,) by name, the higher the harder."""
    logits = seen.logits.astype(np.float64)
    latent = seen.latent.astype(np.float64)
    centres, readout = (part.astype(np.float64) for part in latent_map)
    nearest, equidistance = centre_distances(latent, centres)
    probabilities = softmax(logits)
    grey, channels = channel_sums(seen.pixels), seen.pixels.shape[3]
    found = {
        "entropy": entropy(probabilities),
        "doubt": 1 - probabilities.max(1),
        "small_margin": -margin(logits),
        "reconstruction_l1": seen.l1.astype(np.float64),
        "reconstruction_dissimilarity": seen.dissimilarity.astype(np.float64),
        "centre_distance": nearest,
        "centre_equidistance": equidistance,
        "contradiction": contradiction(latent, readout, logits.argmax(1)),
        "latent_entropy": entropy(latent),
        "blur": -np.log(sharpness(grey, channels) + 1),
        "darkness": -brightness(grey, channels),
        "smallness": -np.log(seen.smallest_side.astype(np.float64)),
    }
    return {name: found[name] for name in SIGNALS}


def softmax(logits: NDArray[np.floating]) -> Floats:
    """(…, K) → probabilities (…, K), which sum to 1."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(-1, keepdims=True))
    found: Floats = powers / powers.sum(-1, keepdims=True)
    return found


def entropy(shares: Floats) -> Floats:
    """Of rows (N, K) of numbers from 0 on, each normalised to sum 1: in nats over log K, so in [0, 1]."""
    sums = shares.sum(1, keepdims=True)
    even = np.full_like(shares, 1 / shares.shape[1])
    parts = np.divide(shares, sums, out=even, where=sums > SMALLEST)
    logs = np.log(parts, out=np.zeros_like(parts), where=parts > 0)
    found: Floats = -(parts * logs).sum(1) / np.log(shares.shape[1])
    return found


def margin(logits: Floats) -> Floats:
    """(N, K) → (N,): the greatest logit less the second."""
    best = np.partition(logits, -2, axis=1)
    found: Floats = best[:, -1] - best[:, -2]
    return found


def contradiction(latent: Floats, readout: Floats, said: NDArray[np.int64]) -> Floats:
    """(N,): by how much a reference network, as far as the latent (N, D) tells, is expected to prefer another class to
    `said` (N,), the classifier's: the difference of log-probabilities, so 0 where it would be in doubt."""
    rows = np.arange(len(latent))
    expected = reference_lean(latent, readout)
    own = expected[rows, said]
    expected[rows, said] = -np.inf
    found: Floats = expected.max(1) - own
    return found


def reference_lean(latent: Floats, readout: Floats) -> Floats:
    """latent (N, D) in [0, 1] → the log-probabilities (N, K) that reference networks are expected to give, on average:
    linear in the latent's log-odds. readout (D + 1, K), its first row the constant."""
    found: Floats = readout[0] + log_odds(latent) @ readout[1:]
    return found


def log_odds(latent: Floats) -> Floats:
    """Of numbers in [0, 1], those nearest to the ends as of LEAST_SHARE."""
    inside = np.clip(latent, LEAST_SHARE, 1 - LEAST_SHARE)
    found: Floats = np.log(inside / (1 - inside))
    return found


def centre_distances(latent: Floats, centres: Floats) -> tuple[Floats, Floats]:
    """latent (N, D), centres (K, D), K at least 2 → two signals (N,).

    The distance to the nearest centre, in units of the mean distance between two centres: high for what is like no
    class. And −|‖z − c₁‖ − ‖z − c₂‖| of the two nearest centres, in units of the distance between these two, so from −1
    to 0: high for what is between two classes, but also for what is far from both, which the first tells.
    """
    distances = _distances(latent, centres)
    mean = _mean_distance(centres.tobytes(), len(centres))
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    first, second = (np.take_along_axis(distances, order[:, place : place + 1], 1)[:, 0] for place in (0, 1))
    apart = np.maximum(np.linalg.norm(centres[order[:, 0]] - centres[order[:, 1]], axis=1), SMALLEST)
    return first / mean, -np.minimum(np.abs(second - first) / apart, 1)


@lru_cache(maxsize=64)  # of the same few models for each image
def _mean_distance(centres: bytes, count: int) -> float:
    """Between two of so many points of float64."""
    points = np.frombuffer(centres).reshape(count, -1)
    return max(float(_distances(points, points).sum() / (count * (count - 1))), SMALLEST)


def _distances(left: Floats, right: Floats) -> Floats:
    """(N, D), (M, D) → (N, M). By products, since a table of all differences would be D times as large."""
    squares = (left**2).sum(1)[:, np.newaxis] + (right**2).sum(1) - 2 * left @ right.T
    found: Floats = np.sqrt(np.maximum(squares, 0))
    return found


def channel_sums(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """uint8 (N, H, W, C), C up to 10 → sum over the channels (N, H, W). In whole numbers: four times as fast."""
    found = pixels[..., 0].astype(np.int16)
    for channel in range(1, pixels.shape[3]):
        found += pixels[..., channel]
    return found


def sharpness(x: NDArray[np.int16], channels: int) -> Floats:
    """Of `channel_sums` (N, H, W) of so many channels (N,): variance of the Laplacian (Pech-Pacheco et al., 2000) of
    the grey image, their mean, in squared grey levels; 0 for an image of fewer than three rows or columns."""
    if min(x.shape[1:]) < 3:
        return np.zeros(len(x))
    laplacian = x[:, :-2, 1:-1] + x[:, 2:, 1:-1]
    laplacian += x[:, 1:-1, :-2]
    laplacian += x[:, 1:-1, 2:]
    laplacian -= 4 * x[:, 1:-1, 1:-1]
    # Sums of whole numbers are exact, and faster than a variance of numbers in floating point.
    places = laplacian[0].size
    total = laplacian.sum((1, 2), dtype=np.int64)
    squares = np.einsum("nhw,nhw->n", laplacian, laplacian, dtype=np.int64)
    found: Floats = (squares / places - (total / places) ** 2) / channels**2
    return found


def brightness(x: NDArray[np.int16], channels: int) -> Floats:
    """Of `channel_sums` (N, H, W) of so many channels (N,): the mean, in [0, 1]."""
    found: Floats = x.mean((1, 2), dtype=np.float64) / (255 * channels)
    return found
