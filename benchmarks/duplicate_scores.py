"""From the similarities that a method gives labelled pairs to the figures of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.photos import Photos
from training.pairs.labelled_pairs import SHARED, Pair
from training.pairs.metrics import average_precision, best_f1, best_threshold, counts_at, recall_at_precision
from training.statistics.intervals import RESAMPLES, Figure, Rows, over_resamples, percentiles, resamples, share

PRECISION = 0.99
THUMBNAIL = "thumbnail"

Similarities = NDArray[np.float64]
Statistic = Callable[[Similarities, NDArray[np.bool_]], float]  # of similarities and whether they are of one photo


@dataclass(frozen=True)
class Truth:
    """What is known of the pairs of one set and difficulty, (n,) each."""

    same: NDArray[np.bool_]
    kinds: NDArray[np.str_]
    clusters: NDArray[np.int64]  # the group of the photo that a pair was made for
    seed: int

    @classmethod
    def of(cls, pairs: Sequence[Pair], photos: Photos, seed: int) -> Truth:
        return cls(
            np.array([pair.same for pair in pairs]),
            np.array([pair.kind for pair in pairs]),
            photos.groups[[pair.left.photo for pair in pairs]],
            seed,
        )

    @cached_property
    def samples(self) -> list[Rows]:
        """Bootstrap samples of rows over photos: pairs of one photo aren't independent of each other."""
        return resamples(self.clusters, RESAMPLES, self.seed)


@dataclass(frozen=True)
class Column:
    """A method at one threshold."""

    name: str
    threshold: float
    tuned: str  # on what the threshold was chosen


class Part(NamedTuple):
    """The pairs of one set and difficulty, with a method's similarities."""

    truth: Truth
    similarities: Similarities


class Measured(NamedTuple):
    """Figures by row, and for those that were resampled their values on the samples."""

    figures: dict[str, Figure]
    drawn: dict[str, NDArray[np.float64]]


def tuned_threshold(parts: Sequence[Part]) -> float:
    """The threshold of the best F1 on all the pairs together."""
    return best_threshold(
        np.concatenate([part.similarities for part in parts]), np.concatenate([part.truth.same for part in parts])
    )


def headline(everyday: Part, hard: Part, elsewhere: Mapping[str, Part], threshold: float) -> Measured:
    """The rows of the main table. elsewhere: by name, the parts that the threshold is carried to unchanged."""
    figures: dict[str, Figure] = {}
    drawn: dict[str, NDArray[np.float64]] = {}

    def row(name: str, part: Part, statistic: Statistic) -> None:
        figures[name], drawn[name] = _resampled(part, statistic)

    at_threshold = partial(_f1, threshold=threshold)
    row("everyday: F1", everyday, at_threshold)
    row("everyday: precision", everyday, partial(_precision, threshold=threshold))
    row("everyday: recall", everyday, partial(_recall, threshold=threshold))
    row(f"everyday: recall at precision {PRECISION}", everyday, _recall_at_precision)
    row("everyday: average precision", everyday, average_precision)
    row("hard: F1", hard, at_threshold)
    row("hard: precision", hard, partial(_precision, threshold=threshold))
    row("hard: recall", hard, partial(_recall, threshold=threshold))
    row("hard: average precision", hard, average_precision)
    both = (everyday, hard)
    figures["different photos under one overlay called duplicates"] = _called(both, SHARED, threshold)
    figures["noisy thumbnails recognised"] = _called((hard,), THUMBNAIL, threshold)
    for name, part in elsewhere.items():
        row(f"{name}: F1 at the same threshold", part, at_threshold)
        row(f"{name}: best F1 there", part, best_f1)
    return Measured(figures, drawn)


def kinds(part: Part, threshold: float) -> dict[tuple[bool, str], Figure]:
    """By (same, kind): the share of pairs called duplicates, which is recall where they are the same."""
    truth = part.truth
    known = sorted({(not same, str(kind)) for same, kind in zip(truth.same, truth.kinds, strict=True)})
    return {
        (not different, kind): _share_called(part, (truth.kinds == kind) & (truth.same != different), threshold)
        for different, kind in known
    }


def differences(ours: Measured, theirs: Measured) -> dict[str, Figure]:
    """Ours less theirs for each resampled row, on the same samples of photos."""
    return {
        name: percentiles(
            ours.figures[name].value - theirs.figures[name].value,
            ours.drawn[name] - theirs.drawn[name],
            ours.figures[name].n,
        )
        for name in ours.drawn
    }


def _resampled(part: Part, statistic: Statistic) -> tuple[Figure, NDArray[np.float64]]:
    similarities, same = part.similarities, part.truth.same
    return over_resamples(lambda rows: statistic(similarities[rows], same[rows]), len(same), part.truth.samples)


def _f1(similarities: Similarities, same: NDArray[np.bool_], threshold: float) -> float:
    return counts_at(similarities, same, threshold).f1


def _precision(similarities: Similarities, same: NDArray[np.bool_], threshold: float) -> float:
    return counts_at(similarities, same, threshold).precision


def _recall(similarities: Similarities, same: NDArray[np.bool_], threshold: float) -> float:
    return counts_at(similarities, same, threshold).recall


def _recall_at_precision(similarities: Similarities, same: NDArray[np.bool_]) -> float:
    return recall_at_precision(similarities, same, PRECISION)


def _called(parts: Sequence[Part], kind: str, threshold: float) -> Figure:
    chosen = [part.similarities[part.truth.kinds == kind] for part in parts]
    called = np.concatenate(chosen) >= threshold
    return share(int(called.sum()), len(called))


def _share_called(part: Part, rows: NDArray[np.bool_], threshold: float) -> Figure:
    return share(int((part.similarities[rows] >= threshold).sum()), int(rows.sum()))
