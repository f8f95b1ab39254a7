"""Candidate pairs among very many embeddings: each one's nearest neighbours, by an approximate search in a graph.

usearch (Apache-2.0) is optional: `pip install -e .[index]`. HNSW (arXiv 1603.09320) finds most of the neighbours that
an exact search finds, not all.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.duplicates import layout

NEAREST = 64  # neighbours of each embedding: larger groups of duplicates come apart

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]


class Candidates(NamedTuple):
    """Pairs in the order of (first, second), each once: int64 (P) each, `first` < `second`."""

    first: Indices
    second: Indices


def available() -> bool:
    """Whether usearch is installed."""
    return find_spec("usearch") is not None


def find_candidates(embeddings: Floats, with_layout: bool, count: int = NEAREST) -> Candidates:
    """For each of `embeddings` float32 (N, D), its `count` nearest neighbours by cosine. `with_layout`: the last
    columns are the layout, and neighbours by layout, plain and mirrored, are added.

    Deterministic: the graph is built by one thread. Raises ImportError without usearch.
    """
    if not with_layout:
        codes_of_parts = [_neighbour_codes(embeddings, (embeddings,), count)]
    else:
        layouts = embeddings[:, -layout.DIMENSION :]
        mirrored = np.concatenate([layouts[:, : layout.EVEN], -layouts[:, layout.EVEN :]], axis=1)
        codes_of_parts = [
            _neighbour_codes(embeddings[:, : -layout.DIMENSION], (embeddings[:, : -layout.DIMENSION],), count),
            _neighbour_codes(layouts, (layouts, mirrored), count),
        ]
    codes = np.unique(np.concatenate(codes_of_parts))
    return Candidates(codes // len(embeddings), codes % len(embeddings))


def _neighbour_codes(vectors: Floats, queries: tuple[Floats, ...], count: int) -> Indices:
    """Pairs of a query's row and a neighbour's, each as one code, smaller row · N + larger row. Without pairs of a row
    with itself."""
    total = len(vectors)
    index = import_module("usearch.index").Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(total), np.ascontiguousarray(vectors), threads=1)
    codes = []
    for batch in queries:
        matches = index.search(np.ascontiguousarray(batch), min(count, total))
        # Where a query has fewer matches than asked for, the rest of its row is not initialised.
        is_filled = np.arange(matches.keys.shape[1]) < np.asarray(matches.counts)[:, None]
        row = np.broadcast_to(np.arange(total)[:, None], is_filled.shape)[is_filled]
        neighbour = matches.keys[is_filled].astype(np.int64)
        is_pair = row != neighbour
        low, high = np.minimum(row, neighbour)[is_pair], np.maximum(row, neighbour)[is_pair]
        codes.append(low * total + high)
    return np.unique(np.concatenate(codes))
