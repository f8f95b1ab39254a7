"""The tiny embedder with a verification made by hand, and a verifier that is told what to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest
from phototriage.verification import signature, verifier
from phototriage.verification.config import FILE_NAME, VerificationConfig
from phototriage.verification.evidence import FEATURES
from phototriage.verification.signature import Signature
from phototriage.verification.trees import Trees
from phototriage.verification.verifier import Verdict, Verifier
from tests.tiny_models import write_embedder

MOST_DISAGREEMENT = 0.3
LOG_ODDS = 3.0


def stump() -> Trees:
    """Duplicates where the fine disagreement is at most MOST_DISAGREEMENT: one tree of two leaves."""
    return Trees(
        feature=np.array([FEATURES.index("fine_disagreement"), 0, 0]),
        threshold=np.array([MOST_DISAGREEMENT, 0, 0]),
        left=np.array([1, 1, 2]),
        right=np.array([2, 1, 2]),
        value=np.array([0, LOG_ODDS, -LOG_ODDS]),
        roots=np.array([0]),
        depth=1,
        base=0.0,
    )


def config(**changes: Any) -> VerificationConfig:
    fields: dict[str, Any] = {
        "threshold": 0.5,
        "prior": 0.25,
        "features": FEATURES,
        "pairs": 100,
        "data": "none",
        "sha256": "0" * 64,
        "calibration_error": 0.0,
        "held_out": (),
    }
    return VerificationConfig(**(fields | changes))


def write_verifying_embedder(folder: Path, **changes: Any) -> Manifest:
    """As `write_embedder`, with a verification; `changes` replace fields of its manifest."""
    written = write_embedder(folder)
    verifier.write(stump(), folder)
    files = {**written.files, FILE_NAME: manifest.sha256_of(folder / FILE_NAME)}
    return manifest.write(written.model_copy(update={"files": files, "verification": config(), **changes}), folder)


class ToldVerifier(Verifier):
    """Takes photos for duplicates whose heights differ by at most 1; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(config(), stump())
        object.__setattr__(self, "asked", [])

    asked: list[tuple[int, int]]

    def verify(self, a: Signature, b: Signature, least: float | None = None, screened: bool = False) -> Verdict:
        self.asked.append((a.height, b.height))
        is_same = abs(a.height - b.height) <= 1
        return Verdict("duplicate" if is_same else "not_duplicate", 0.9 if is_same else 0.1, None)


def signed(*heights: int) -> list[bytes]:
    """Signatures of photos of these heights."""
    return [signature.encode(np.full((height, 16), 7, np.uint8)) for height in heights]


def patches(seed: int, scale: int = 10) -> NDArray[np.uint8]:
    """(6 · scale, 8 · scale, 3): 48 patches, reddish, in an order that no other seed has. The tiny embedder takes all
    for alike."""
    drawn = np.random.default_rng(seed).permutation(np.linspace(0, 127, 48)).reshape(6, 8).astype(np.uint8)
    large = np.kron(drawn, np.ones((scale, scale), np.uint8))
    return np.stack([large + 128, large, large], axis=2)
