"""A first look at a pair, which refuses most images that are no copies: for folders, where nearly no candidate is one,
and where `verify` would take as long as all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from phototriage.verification.agreement import glance, lay_over
from phototriage.verification.containment import containments
from phototriage.verification.corners import agreeing
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.registration import wholes
from phototriage.verification.signature import Signature

# Chosen on validation pairs: `python -m benchmarks.screening`.
LEAST_POINTS = 8  # that agree
Ways = Callable[[Signature, Signature], Iterator[Hypothesis]]  # in which one is laid over the other
WHOLE: Ways = wholes
PART: Ways = containments
# Or the coarse correlation, median over places. A part is slid to where it correlates most, so by chance it does more.
LEAST_MEDIAN: dict[Ways, float] = {WHOLE: 0.5, PART: 0.6}


def may_be_same(a: Signature, b: Signature) -> bool:
    """Whether it is worth to `verify` the two. The same for A and B as for B and A."""
    if b.encoded < a.encoded:
        a, b = b, a
    # From what takes least to what takes most.
    return has_points(a, b) or correlates(a, b, WHOLE) or correlates(a, b, PART)


def has_points(a: Signature, b: Signature) -> bool:
    """Whether enough points of both agree, as they are or mirrored."""
    return any(agreeing(corners, b.corners) >= LEAST_POINTS for corners in (a.corners, a.mirrored_corners))


def correlates(a: Signature, b: Signature, ways: Ways) -> bool:
    """Whether, coarsely, one lies over the other in any of these ways."""
    overlays = (lay_over(a, b, hypothesis) for hypothesis in ways(a, b))
    return any(overlay is not None and glance(overlay).median >= LEAST_MEDIAN[ways] for overlay in overlays)
