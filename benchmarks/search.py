"""All near pairs among many embeddings: the exact search against the graph's candidates, in time and in what is found.

    python -m benchmarks.search --model exported_models/near_duplicates --data photos.tar

Embeddings are those of the photos and, to make more, of random mixtures of two of them, each beside a slightly moved
copy of itself: as many pairs to find as there are photos. Medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.false_positives import embed_all
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import NearPairs, near_pairs, near_pairs_of_many
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.data.loading import load
from training.loop.compute import hardware

THRESHOLD = 0.85


def many(embeddings: NDArray[np.float32], parts: Sequence[int], count: int, seed: int = 0) -> NDArray[np.float32]:
    """(count, D) embeddings whose parts have length 1: mixtures of two rows, each followed by one near it."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(embeddings), (2, count // 2))
    share = rng.uniform(0.3, 0.7, (count // 2, 1))
    mixed = share * embeddings[first] + (1 - share) * embeddings[second]
    near = mixed + rng.standard_normal(mixed.shape) * 0.02
    found = np.stack([mixed, near], axis=1).reshape(-1, embeddings.shape[1])
    for end, size in zip(np.cumsum(parts), parts, strict=True):
        found[:, end - size : end] /= np.linalg.norm(found[:, end - size : end], axis=1, keepdims=True) + 1e-12
    return found.astype(np.float32)


def compare(
    embeddings: NDArray[np.float32], rescoring: LayoutRescoring | None, rounds: int
) -> tuple[float, float, float, int]:
    """Seconds of the exact search and of the other, the share of pairs that the other finds, and how many there are."""
    seconds: tuple[list[float], list[float]] = ([], [])
    found: list[NearPairs] = []
    for _ in range(rounds):
        found = []
        for times, search in zip(seconds, (near_pairs, _by_candidates), strict=True):
            began = time.perf_counter()
            found.append(search(embeddings, THRESHOLD, rescoring))
            times.append(time.perf_counter() - began)
    share = len(found[1].first) / max(len(found[0].first), 1)
    return statistics.median(seconds[0]), statistics.median(seconds[1]), share, len(found[0].first)


def _by_candidates(embeddings: NDArray[np.float32], threshold: float, rescoring: LayoutRescoring | None) -> NearPairs:
    return near_pairs_of_many(embeddings, threshold, rescoring, exact=0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported embedder")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(arguments)
    model = load_embedder(given.model, Settings(provider="cpu"))
    embeddings = embed_all(model, load(given.data, labelled=False)).vectors
    rescoring = model.manifest.layout_rescoring
    width = embeddings.shape[1]
    parts = (width,) if rescoring is None else (width - layout.DIMENSION, layout.DIMENSION)
    print(f"{hardware(torch.device('cpu'))}, rounds: {given.rounds}; pairs of a similarity of {THRESHOLD} or more\n")
    print("| embeddings | pairs | exact, s | candidates, s | found by candidates |\n| --- | --- | --- | --- | --- |")
    for count in given.counts:
        exact, graph, share, pairs = compare(many(embeddings, parts, count), rescoring, given.rounds)
        print(f"| {count:,} | {pairs:,} | {exact:.1f} | {graph:.1f} | {share:.4f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
