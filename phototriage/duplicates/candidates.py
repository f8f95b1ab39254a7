"""Among very many embeddings, the pairs worth a look: each one's nearest, by a graph that is walked instead of a table.

usearch (Apache-2.0) is optional: `pip install -e .[index]`. HNSW (arXiv 1603.09320) finds most of what an exact search
finds, not all.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout

NEAREST = 64  # of each embedding: larger groups of duplicates come apart

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]


class Candidates(NamedTuple):
    """Pairs in the order of (first, second), each once: int64 (P) each, `first` < `second`."""

    first: Indices
    second: Indices


def available() -> bool:
    return find_spec("usearch") is not None


def find_candidates(embeddings: Floats, with_layout: bool, count: int = NEAREST) -> Candidates:
    """For each of `embeddings` (N, D) its `count` nearest by cosine and, if the last columns are the layout, by that,
    plain and mirrored.

    The same for the same embeddings: the graph is built by one thread. Raises ImportError without usearch.
    """
    if not with_layout:
        found = [_nearest(embeddings, (embeddings,), count)]
    else:
        placed = embeddings[:, -layout.DIMENSION :]
        mirrored = np.concatenate([placed[:, : layout.EVEN], -placed[:, layout.EVEN :]], axis=1)
        found = [
            _nearest(embeddings[:, : -layout.DIMENSION], (embeddings[:, : -layout.DIMENSION],), count),
            _nearest(placed, (placed, mirrored), count),
        ]
    codes = np.unique(np.concatenate(found))
    return Candidates(codes // len(embeddings), codes % len(embeddings))


def _nearest(vectors: Floats, queries: tuple[Floats, ...], count: int) -> Indices:
    """Pairs of a query's and its neighbour's row, smaller · N + larger, without those of a row with itself."""
    number = len(vectors)
    index = import_module("usearch.index").Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(number), np.ascontiguousarray(vectors), threads=1)
    codes = []
    for rows in queries:
        matches = index.search(np.ascontiguousarray(rows), min(count, number))
        # Of rows with fewer matches the rest is filled up with anything.
        real = np.arange(matches.keys.shape[1]) < np.asarray(matches.counts)[:, None]
        own = np.broadcast_to(np.arange(number)[:, None], real.shape)[real]
        other = matches.keys[real].astype(np.int64)
        kept = own != other
        low, high = np.minimum(own, other)[kept], np.maximum(own, other)[kept]
        codes.append(low * number + high)
    return np.unique(np.concatenate(codes))
