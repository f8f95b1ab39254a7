"""Embeddings of known similarity."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def circle(*degrees: float) -> Floats:
    """Unit vectors (N, 2) at those angles: the similarity of two is the cosine of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def unit_vectors(n: int, clusters: int, spread: float, seed: int) -> Floats:
    """(n, 8): points about a few directions, so that there are groups and chains."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, 8))
    points = centres[rng.integers(0, clusters, n)] + spread * rng.standard_normal((n, 8))
    vectors: Floats = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return vectors
