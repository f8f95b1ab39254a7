"""By hand: a floor of .5 and a weight of .4."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from phototriage.duplicates.layout_rescoring import SecondLook


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
    found = SecondLook(floor=0.5, weight=0.4).similarity(np.array([cosine]), np.array([agreement]))
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_never_less_than_the_cosine_and_never_more_than_1() -> None:
    rng = np.random.default_rng(0)
    cosines, agreements = rng.uniform(-1, 1, (2, 1000))
    found = SecondLook(weight=1).similarity(cosines, agreements)
    assert (found >= cosines).all()
    assert (found <= 1).all()


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
    look = SecondLook(floor=0.9, weight=1e-9, doubt=0.1, doubt_from=0.2, doubt_most=0.6)
    found = look.similarity(np.array([cosine]), np.array([agreement]))
    assert found[0] == pytest.approx(expected, abs=1e-8)


def test_nothing_changes_faster_than_by_its_steepness() -> None:
    rng = np.random.default_rng(1)
    for look in (SecondLook(), SecondLook(floor=0.8, weight=0.7, doubt=0.16), SecondLook(weight=1e-9, doubt=0.5)):
        cosines, agreements = rng.uniform(-1, 1, (2, 100_000))
        step = 1e-6
        before = look.similarity(cosines, agreements)
        for changed in ((cosines + step, agreements), (cosines, agreements + step)):
            fastest = np.abs(look.similarity(*changed) - before).max() / step
            assert fastest <= look.steepness * (1 + 1e-4)
            assert fastest > 0.4 * look.steepness or changed[1] is agreements


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
        SecondLook.model_validate(changes)
