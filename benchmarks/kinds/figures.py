"""From verdicts on a set's pairs to its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.kinds.deciders import Decide, Verdict
from benchmarks.kinds.features import Features
from benchmarks.kinds.image_set import ImageSet, PlacePair
from training.pairs.metrics import average_precision, recall_at_precision
from training.statistics.intervals import Figure, share


@dataclass(frozen=True)
class Decided:
    """A set's pairs, and all verdicts on them: `called` bool (n,) and `scores` float64 (n,) by decider."""

    name: str
    pairs: Sequence[PlacePair]
    called: Mapping[str, NDArray[np.bool_]]
    scores: Mapping[str, NDArray[np.float64]]

    @property
    def same(self) -> NDArray[np.bool_]:
        return np.array([pair.same for pair in self.pairs], bool)

    def missed(self, decider: str, kind: str | None = None) -> Figure | None:
        """Share of the copies, of a kind or all, that aren't called duplicates; None where there is none."""
        rows = self.same & self._of(kind)
        return share(int((~self.called[decider][rows]).sum()), int(rows.sum())) if rows.any() else None

    def false(self, decider: str, kind: str | None = None) -> Figure | None:
        """Share of the different pairs that are called duplicates; None where there is none."""
        rows = ~self.same & self._of(kind)
        return share(int(self.called[decider][rows].sum()), int(rows.sum())) if rows.any() else None

    def average_precision(self, decider: str) -> float | None:
        """None where all pairs are of one class."""
        same = self.same
        return average_precision(self.scores[decider], same) if 0 < same.sum() < len(same) else None

    def recall_without_error(self, decider: str) -> float | None:
        """The greatest recall of a threshold above all different pairs; None where all pairs are of one class."""
        same = self.same
        return recall_at_precision(self.scores[decider], same, 1.0) if 0 < same.sum() < len(same) else None

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(pair.kind for pair in self.pairs))

    def _of(self, kind: str | None) -> NDArray[np.bool_]:
        return np.array([kind is None or pair.kind == kind for pair in self.pairs], bool)


def decide_all(given: ImageSet, features: Sequence[Features], deciders: Mapping[str, Decide]) -> Decided:
    """Ask all about each pair."""
    verdicts: dict[str, list[Verdict]] = {
        name: [decide(features[pair.left], features[pair.right]) for pair in given.pairs]
        for name, decide in deciders.items()
    }
    return Decided(
        given.name,
        given.pairs,
        {name: np.array([one.is_duplicate for one in found], bool) for name, found in verdicts.items()},
        {name: np.array([one.score for one in found], np.float64) for name, found in verdicts.items()},
    )
