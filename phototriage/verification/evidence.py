"""From two signatures to what speaks for and against their being copies of one photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from phototriage.verification import agreement
from phototriage.verification.agreement import Agreement, Glance, Overlay, lay_over
from phototriage.verification.containment import containments
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.refinement import refined
from phototriage.verification.registration import by_points, wholes
from phototriage.verification.signature import Signature

POINT_WORTH, MOST_POINTS = 0.04, 25  # how points that agree weigh beside correlations, when hypotheses are compared
BY_POINTS_LEAST = 0.1  # what a hypothesis by points has to be worth more than one of the whole
# Where a hypothesis disagrees coarsely no more than that, no better one is looked for.
SURE = 0.05
# Where the whole lies on the whole so well, points aren't even looked for, which takes most of the time.
SURE_MEDIAN, SURE_DISAGREEMENT = 0.93, 0.01

_AGREEMENTS = ("fine", "inner", "detail", "coarse")
FEATURES = (
    *(f"{scale}_{field.name}" for scale in _AGREEMENTS for field in fields(Agreement)),
    *("whole", "inliers", "smaller_share", "larger_share", "scale"),
)


@dataclass(frozen=True)
class Evidence:
    """The hypothesis that explains most, and how far the images agree under it.

    share_of_a, share_of_b: how much of each image's area lies in the other. whole: correlation of all that overlaps.
    """

    hypothesis: Hypothesis
    share_of_a: float
    share_of_b: float
    fine: Agreement
    inner: Agreement  # as fine, but inside plain borders
    detail: Agreement
    coarse: Agreement
    whole: float

    def features(self) -> NDArray[np.float64]:
        """As many numbers as FEATURES has names, equal for A in B and B in A."""
        shares = sorted((self.share_of_a, self.share_of_b))
        scales = (getattr(self, name) for name in _AGREEMENTS)
        numbers = [getattr(scale, field.name) for scale in scales for field in fields(Agreement)]
        inliers = np.log1p(len(self.hypothesis.inliers))
        scale = round(abs(np.log(self.hypothesis.scale)), 6)  # rounding errors differ from A in B to B in A
        return np.array([*numbers, self.whole, inliers, *shares, scale])

    def inverse(self) -> Evidence:
        """The same, of B in A."""
        return replace(
            self, hypothesis=self.hypothesis.inverse(), share_of_a=self.share_of_b, share_of_b=self.share_of_a
        )


@dataclass(frozen=True)
class _Tried:
    """A hypothesis, looked at coarsely."""

    hypothesis: Hypothesis
    overlay: Overlay
    coarse: Glance

    @property
    def worth(self) -> float:
        points = POINT_WORTH * min(len(self.hypothesis.inliers), MOST_POINTS)
        return self.coarse.median + points + (0.0 if self.hypothesis.by_points else BY_POINTS_LEAST)


def verify(a: Signature, b: Signature) -> Evidence | None:
    """The same for A in B and B in A. None where no way was found in which the two overlap."""
    if b.encoded < a.encoded:
        evidence = verify(b, a)
        return None if evidence is None else evidence.inverse()
    tried = _try(a, b, wholes(a, b))
    for each in tried:
        evidence = _evidence(each) if each.coarse.disagreement <= SURE_DISAGREEMENT else None
        if (
            evidence is not None
            and evidence.fine.median >= SURE_MEDIAN
            and max(evidence.fine.disagreement, evidence.detail.disagreement) <= SURE_DISAGREEMENT
        ):
            return evidence
    tried += _try(a, b, _by_points(a, b))
    best = max(tried, key=lambda each: each.worth, default=None)
    if best is None or best.coarse.disagreement > SURE:
        tried += _try(a, b, containments(a, b))
        best = max(tried, key=lambda each: each.worth, default=None)
    if best is None:
        return None
    if best.coarse.disagreement > SURE:
        closer = refined(a, b, best.hypothesis)
        better = _try(a, b, iter(() if closer is None else (closer,)))
        best = max([best, *better], key=lambda each: each.coarse.median)
    return _evidence(best)


def _by_points(a: Signature, b: Signature) -> Iterator[Hypothesis]:
    """As it is and mirrored, where points give any."""
    for mirrored in (False, True):
        found = by_points(a, b, mirrored)
        if found is not None:
            yield found


def _try(a: Signature, b: Signature, hypotheses: Iterator[Hypothesis]) -> list[_Tried]:
    tried = []
    for hypothesis in hypotheses:
        overlay = lay_over(a, b, hypothesis)
        if overlay is not None:
            tried.append(_Tried(hypothesis, overlay, agreement.glance(overlay)))
    return tried


def _evidence(tried: _Tried) -> Evidence:
    overlay = tried.overlay
    fine = agreement.fine(overlay)
    return Evidence(
        hypothesis=tried.hypothesis,
        share_of_a=overlay.share_of_a,
        share_of_b=overlay.share_of_b,
        fine=fine,
        inner=agreement.inner(overlay) or fine,
        detail=agreement.detail(overlay),
        coarse=agreement.coarse(tried.coarse),
        whole=agreement.whole(overlay),
    )
