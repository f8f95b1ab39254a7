"""A verification made by hand: one tree with one question."""

from __future__ import annotations

import numpy as np

from phototriage.verification.config import PairKind, VerificationConfig
from phototriage.verification.evidence import FEATURES
from phototriage.verification.trees import Trees


def stump(feature: str, bound: float, low: float, high: float) -> Trees:
    """Log-odds `low` where the feature is at most the bound, else `high`."""
    return Trees(
        feature=np.array([FEATURES.index(feature), 0, 0]),
        threshold=np.array([bound, 0, 0]),
        left=np.array([1, 1, 2]),
        right=np.array([2, 1, 2]),
        value=np.array([0, low, high]),
        roots=np.array([0]),
        depth=1,
        base=0.0,
    )


def config() -> VerificationConfig:
    return VerificationConfig(
        threshold=0.5,
        prior=0.4,
        features=FEATURES,
        pairs=10,
        data="drawn",
        sha256="0" * 64,
        calibration_error=0.01,
        held_out=(PairKind(kind="drawn", copies=5, others=5, missed=0.0, false=0.0),),
    )
