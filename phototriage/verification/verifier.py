"""The verifier: two signatures to a decision, its probability, and the evidence for it."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.errors import ModelFolderError
from phototriage.verification.config import FILE_NAME, VerificationConfig
from phototriage.verification.evidence import FEATURES, Evidence, verify
from phototriage.verification.screening import may_be_same
from phototriage.verification.signature import Signature
from phototriage.verification.trees import Trees

PairDecision = Literal["duplicate", "not_duplicate", "too_little_content"]

_ARRAYS = ("feature", "threshold", "left", "right", "value", "roots", "depth", "base")


@dataclass(frozen=True)
class Verdict:
    """A decision about a pair. probability: of being duplicates; 0 where there is nothing to compare. plain: whether A,
    and whether B, shows next to nothing. evidence: None where no way was found in which the two overlap."""

    decision: PairDecision
    probability: float
    evidence: Evidence | None
    plain: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Verifier:
    config: VerificationConfig
    trees: Trees

    def verify(self, a: Signature, b: Signature, least: float | None = None, screened: bool = False) -> Verdict:
        """The same for A and B as for B and A. `least`: the probability from which on they are duplicates; the tuned
        one without it. screened: most of those that aren't are refused by a first look, which also loses a few copies:
        for one photo among many."""
        plain = a.is_plain, b.is_plain
        if any(plain):
            return Verdict("too_little_content", 0.0, None, plain)
        if screened and not may_be_same(a, b):
            return Verdict("not_duplicate", 0.0, None)
        evidence = verify(a, b)
        probability = self.probability(evidence)
        limit = self.config.threshold if least is None else least
        return Verdict("duplicate" if probability >= limit else "not_duplicate", probability, evidence)

    def are_same(self, a: Signature, b: Signature, least: float) -> bool:
        """Whether `verify` calls them duplicates, `screened`."""
        return self.verify(a, b, least, screened=True).decision == "duplicate"

    def probability(self, evidence: Evidence | None) -> float:
        """Of being duplicates; 0 without evidence."""
        return 0.0 if evidence is None else logistic(self.trees.log_odds(evidence.features()))


def logistic(log_odds: float) -> float:
    # By the form whose power can't overflow.
    power = math.exp(-abs(log_odds))
    return 1 / (1 + power) if log_odds >= 0 else power / (1 + power)


def write(trees: Trees, folder: Path) -> None:
    """Write FILE_NAME into a model's folder, under a temporary name first. Raises OSError."""
    with atomic_file(folder / FILE_NAME) as part, part.open("wb") as file:
        arrays = {name: np.asarray(getattr(trees, name)) for name in _ARRAYS}
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read(config: VerificationConfig, folder: Path) -> Verifier:
    """The verifier of a model's folder. Raises ModelFolderError where its file isn't what the config says."""
    if config.features != FEATURES:
        raise ModelFolderError(
            f"{folder.name}: its verification was fitted to other evidence than this version measures. Fit it again: "
            "python -m training.verification"
        )
    try:
        with (folder / FILE_NAME).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
        trees = Trees(
            **{name: arrays[name] for name in _ARRAYS[:6]}, depth=int(arrays["depth"]), base=float(arrays["base"])
        )
        trees.check(len(FEATURES))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{folder.name}/{FILE_NAME} can't be read: {error}. Export the model again") from error
    return Verifier(config, trees)
