"""From labelled pairs to trees: boosted, none of whose answers falls when two images agree more."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from phototriage.verification.evidence import FEATURES, verify
from phototriage.verification.signature_cache import SignatureCache
from phototriage.verification.trees import Trees
from training.verification.pairs import SignedPair

TREES, DEPTH, RATE, LEAST_LEAF = 300, 4, 0.06, 20
RISING = (
    *("median", "lower_quarter", "lower_tenth", "weighted", "strong_median", "strong_tenth"),
    *("side_weighted", "side_strong_tenth", "whole", "inliers"),
)
CHUNK = 64  # pairs that a process takes at once; those of one image stand together

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What laying one over the other showed, (n, F); of n pairs whether they are the same, their kinds and groups."""

    features: Floats
    same: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]


def measure(pairs: Sequence[SignedPair], step: Callable[[int], None], processes: int = 1) -> Measured:
    """Verify all pairs; `step` is called with the number of pairs done since."""
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    rows: list[Floats] = []
    with ExitStack() as stack:
        done: Iterable[list[Floats]] = map(_features_of, chunks)
        if processes > 1:
            context = multiprocessing.get_context("spawn")  # OpenCV's threads don't survive a fork
            done = stack.enter_context(ProcessPoolExecutor(processes, context)).map(_features_of, chunks)
        for features in done:
            rows += features
            step(len(features))
    return Measured(
        np.array(rows),
        np.array([pair.same for pair in pairs]),
        np.array([pair.kind for pair in pairs]),
        np.array([pair.group for pair in pairs]),
    )


def _features_of(pairs: Sequence[SignedPair]) -> list[Floats]:
    decoded, rows = SignatureCache(), []
    for pair in pairs:
        evidence = verify(decoded(pair.left), decoded(pair.right))
        rows.append(np.zeros(len(FEATURES)) if evidence is None else evidence.features())
    return rows


def fit(measured: Measured) -> Trees:
    """Trees that tell the same from others."""
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_depth=DEPTH,
        learning_rate=RATE,
        min_samples_leaf=LEAST_LEAF,
        monotonic_cst=[direction(name) for name in FEATURES],
        early_stopping=False,
        random_state=0,
    ).fit(measured.features, measured.same)
    trees = _exported(model)
    expected = model.decision_function(measured.features)
    found = np.array([trees.log_odds(row) for row in measured.features])
    if not np.allclose(found, expected, atol=1e-6):
        raise RuntimeError("scikit-learn's trees aren't laid out as this version expects")
    return trees


def direction(feature: str) -> int:
    """1 where more of it may only speak for a copy, −1 where it may only speak against, 0 where either may be."""
    if feature.endswith("disagreement"):
        return -1
    return 1 if feature in RISING or feature.split("_", 1)[-1] in RISING else 0


def _exported(model: HistGradientBoostingClassifier) -> Trees:
    """scikit-learn has no public way to the nodes; `fit` checks what comes of them."""
    trees = [stage[0].nodes for stage in model._predictors]
    starts = np.cumsum([0, *map(len, trees)])[:-1]
    own = np.concatenate([np.arange(len(nodes)) + start for nodes, start in zip(trees, starts, strict=True)])
    nodes = np.concatenate(trees)
    offsets = np.repeat(starts, [len(each) for each in trees])
    leaf = nodes["is_leaf"].astype(bool)
    return Trees(
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        left=np.where(leaf, own, nodes["left"] + offsets).astype(np.int64),
        right=np.where(leaf, own, nodes["right"] + offsets).astype(np.int64),
        value=np.where(leaf, nodes["value"], 0.0),
        roots=starts.astype(np.int64),
        depth=int(nodes["depth"].max()),
        base=float(np.ravel(model._baseline_prediction)[0]),
    )
