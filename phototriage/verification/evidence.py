"""From two signatures to what speaks for and against their being copies of one photo."""

from __future__ import annotations

from dataclasses import dataclass

from phototriage.verification.agreement import Agreement, coarse, fine, lay_over
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.registration import hypotheses
from phototriage.verification.signature import Signature

POINT_WORTH, MOST_POINTS = 0.04, 25  # how points that agree weigh beside correlations, when hypotheses are compared
BY_POINTS_LEAST = 0.1  # what a hypothesis by points has to be worth more than one of the whole


@dataclass(frozen=True)
class Evidence:
    """The hypothesis that explains most, and how far the images agree under it.

    share_of_a, share_of_b: how much of each image's area lies in the other.
    """

    hypothesis: Hypothesis
    share_of_a: float
    share_of_b: float
    fine: Agreement
    coarse: Agreement

    @property
    def worth(self) -> float:
        points = POINT_WORTH * min(len(self.hypothesis.inliers), MOST_POINTS)
        whole = 0.0 if self.hypothesis.by_points else BY_POINTS_LEAST
        return self.fine.median + self.coarse.median + points + whole


def verify(a: Signature, b: Signature) -> Evidence | None:
    """None where no way was found in which the two overlap."""
    best: Evidence | None = None
    for hypothesis in hypotheses(a, b):
        overlay = lay_over(a, b, hypothesis)
        if overlay is None:
            continue
        evidence = Evidence(hypothesis, overlay.share_of_a, overlay.share_of_b, fine(overlay), coarse(overlay))
        if best is None or evidence.worth > best.worth:
            best = evidence
    return best
