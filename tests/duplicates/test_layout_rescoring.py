"""By hand: a floor of .5 and a weight of .4."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from phototriage.duplicates.layout_rescoring import LayoutRescoring


@pytest.mark.parametrize(
    ("cosine", "agreement", "expected"),
    [
        (0.5, 0.5, 0.5),  # at the floor: nothing
        (0.5, -1, 0.5),
        (0.5, 1, 0.7),  # in full: .4 of what is missing
        (0.5, 0.75, 0.6),
        (0.5, 1.000001, 0.7),  # rounding
        (1, 0.9, 1),
        (-1, 1, -0.2),
    ],
)
def test_what_an_agreement_adds(cosine: float, agreement: float, expected: float) -> None:
    similarities = LayoutRescoring(floor=0.5, weight=0.4).similarity(np.array([cosine]), np.array([agreement]))
    assert similarities[0] == pytest.approx(expected, abs=1e-12)


def test_never_less_than_the_cosine_and_never_more_than_1() -> None:
    rng = np.random.default_rng(0)
    cosines, agreements = rng.uniform(-1, 1, (2, 1000))
    similarities = LayoutRescoring(weight=1).similarity(cosines, agreements)
    assert (similarities >= cosines).all()
    assert (similarities <= 1).all()


@pytest.mark.parametrize(
    ("cosine", "agreement", "expected"),
    [
        (0.5, 0.2, 0.5),  # nothing in common: a crop, or another picture
        (0.5, 0.4, 0.45),  # half of the way up
        (0.5, 0.6, 0.4),  # what look-alikes have
        (0.5, 0.8, 0.45),  # half of the way down
        (0.5, 1, 0.5),  # the same layout
        (1, 1, 1),
        (-0.95, 0.6, -1),
        (-1, 0.6, -1),
    ],
)
def test_what_doubt_takes_away(cosine: float, agreement: float, expected: float) -> None:
    rescoring = LayoutRescoring(floor=0.9, weight=1e-9, doubt=0.1, doubt_from=0.2, doubt_most=0.6)
    similarities = rescoring.similarity(np.array([cosine]), np.array([agreement]))
    assert similarities[0] == pytest.approx(expected, abs=1e-8)


def test_nothing_changes_faster_than_by_its_steepness() -> None:
    rng = np.random.default_rng(1)
    for rescoring in (
        LayoutRescoring(),
        LayoutRescoring(floor=0.8, weight=0.7, doubt=0.16),
        LayoutRescoring(weight=1e-9, doubt=0.5),
    ):
        cosines, agreements = rng.uniform(-1, 1, (2, 100_000))
        step = 1e-6
        before = rescoring.similarity(cosines, agreements)
        for changed in ((cosines + step, agreements), (cosines, agreements + step)):
            fastest = np.abs(rescoring.similarity(*changed) - before).max() / step
            assert fastest <= rescoring.steepness * (1 + 1e-4)
            assert fastest > 0.4 * rescoring.steepness or changed[1] is agreements


@pytest.mark.parametrize(
    "changes",
    [
        {"doubt_from": 0.95},
        {"doubt": 1.1},
        {"doubt_most": 1},
        {"layout": "other"},
        {"floor": 1},
        {"floor": -0.1},
        {"weight": 0},
        {"weight": 1.1},
        {"other": 1},
    ],
)
def test_nonsense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LayoutRescoring.model_validate(changes)
