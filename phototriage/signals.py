"""From what one pass of the models gives for an image to the signals of its difficulty: NumPy only.

Every signal is one number an image, finite for every input, and says one thing; none needs a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["ambiguous", "unusual", "low_quality"]

KINDS: Mapping[Kind, tuple[str, ...]] = {  # what is hard about an image, and the signals that say so
    "ambiguous": ("entropy", "small_margin", "centre_equidistance", "contradiction"),
    "unusual": ("reconstruction_l1", "reconstruction_dissimilarity", "centre_distance"),
    "low_quality": ("blur", "darkness", "smallness"),
}
SIGNALS = (*(name for names in KINDS.values() for name in names), "latent_entropy")

SMALLEST = 1e-12  # below it a distance or a sum is none


class Seen(NamedTuple):
    """What the models gave for N images: logits (N, K); latent (N, D) in [0, 1], l1 (N), dissimilarity (N) of the
    autoencoder; pixels uint8 (N, H, W, C) of the classifier's input; smallest_side (N) of the images themselves."""

    logits: NDArray[np.floating]
    latent: NDArray[np.floating]
    l1: NDArray[np.floating]
    dissimilarity: NDArray[np.floating]
    pixels: NDArray[np.uint8]
    smallest_side: NDArray[np.integer]


def signals(seen: Seen, centres: NDArray[np.floating]) -> dict[str, Floats]:
    """Each of SIGNALS (N,) by name, the higher the harder. centres (K, D): mean latent of each class, in the order of
    the logits."""
    logits = seen.logits.astype(np.float64)
    latent = seen.latent.astype(np.float64)
    exact = centres.astype(np.float64)
    nearest, equidistance = centre_distances(latent, exact)
    found = {
        "entropy": entropy(softmax(logits)),
        "small_margin": -margin(logits),
        "reconstruction_l1": seen.l1.astype(np.float64),
        "reconstruction_dissimilarity": seen.dissimilarity.astype(np.float64),
        "centre_distance": nearest,
        "centre_equidistance": equidistance,
        "contradiction": contradiction(latent, exact, logits.argmax(1)),
        "latent_entropy": entropy(latent),
        "blur": -np.log(sharpness(seen.pixels) + 1),
        "darkness": -brightness(seen.pixels),
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


def contradiction(latent: Floats, centres: Floats, said: NDArray[np.int64]) -> Floats:
    """(N,): how much the latent (N, D) lies with another class than `said` (N,), the classifier's: its distance to that
    class's centre less that to the nearest other one, in units of the distance between these two centres: −1 at the
    class's own centre, 1 at the other."""
    rows = np.arange(len(latent))
    distances = np.linalg.norm(latent[:, np.newaxis] - centres[np.newaxis], axis=2)
    own = distances[rows, said]
    distances[rows, said] = np.inf
    other = distances.argmin(1)
    apart = np.maximum(np.linalg.norm(centres[said] - centres[other], axis=1), SMALLEST)
    found: Floats = np.clip((own - distances[rows, other]) / apart, -1, 1)
    return found


def centre_distances(latent: Floats, centres: Floats) -> tuple[Floats, Floats]:
    """latent (N, D), centres (K, D), K at least 2 → two signals (N,).

    The distance to the nearest centre, in units of the mean distance between two centres: high for what is like no
    class. And −|‖z − c₁‖ − ‖z − c₂‖| of the two nearest centres, in units of the distance between these two, so from −1
    to 0: high for what is between two classes, but also for what is far from both, which the first tells.
    """
    distances = np.linalg.norm(latent[:, np.newaxis] - centres[np.newaxis], axis=2)
    between = np.linalg.norm(centres[:, np.newaxis] - centres[np.newaxis], axis=2)
    count = len(centres)
    mean = max(float(between.sum() / (count * (count - 1))), SMALLEST)
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    first, second = (np.take_along_axis(distances, order[:, place : place + 1], 1)[:, 0] for place in (0, 1))
    apart = np.maximum(between[order[:, 0], order[:, 1]], SMALLEST)
    return first / mean, -np.minimum(np.abs(second - first) / apart, 1)


def grey(pixels: NDArray[np.uint8]) -> Floats:
    """uint8 (N, H, W, C) → mean over the channels (N, H, W), 0 to 255."""
    found: Floats = pixels.mean(3, dtype=np.float64)
    return found


def sharpness(pixels: NDArray[np.uint8]) -> Floats:
    """(N,): variance of the Laplacian (Pech-Pacheco et al., 2000) of the grey image, in squared grey levels; 0 for an
    image of fewer than three rows or columns."""
    x = grey(pixels)
    if min(x.shape[1:]) < 3:
        return np.zeros(len(x))
    middle = x[:, 1:-1, 1:-1]
    laplacian = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:] - 4 * middle
    found: Floats = laplacian.var((1, 2))
    return found


def brightness(pixels: NDArray[np.uint8]) -> Floats:
    """(N,): the mean, in [0, 1]."""
    found: Floats = grey(pixels).mean((1, 2)) / 255
    return found
