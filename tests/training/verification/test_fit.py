"""Pairs to trees: what is fitted, and what never happens."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.verification.evidence import FEATURES
from training.drawings import KINDS
from training.verification import pairs
from training.verification.calibration import calibration_error
from training.verification.fit import Measured, direction, fit, measure
from training.verification.pairs import SignedPair, drawn_pairs


def random_measured(count: int = 400) -> Measured:
    """Copies agree more, by two of the features; the rest is noise."""
    rng = np.random.default_rng(0)
    same = rng.random(count) < 0.4
    features = rng.normal(size=(count, len(FEATURES)))
    for name, shift in (("fine_median", 2.0), ("coarse_disagreement", -2.0)):
        features[:, FEATURES.index(name)] += shift * same
    return Measured(features, same, np.array(["drawn"] * count), np.array([str(i) for i in range(count)]))


def test_trees_tell_the_same_from_others() -> None:
    seen = random_measured()
    trees = fit(seen)
    trees.check(len(FEATURES))
    scores = np.array([trees.log_odds(row) for row in seen.features])
    assert scores[seen.same].min() > scores[~seen.same].max() - 1
    assert np.median(scores[seen.same]) > 3
    assert np.median(scores[~seen.same]) < -3


def test_more_agreement_never_speaks_against_a_copy() -> None:
    seen = random_measured()
    trees = fit(seen)
    for name in ("fine_median", "coarse_disagreement", "inliers"):
        place, sign = FEATURES.index(name), direction(name)
        for row in seen.features[:20]:
            grown = [row.copy() for _ in range(9)]
            for step, each in enumerate(grown):
                each[place] = -4 + step
            scores = np.array([trees.log_odds(each) for each in grown])
            assert (np.diff(scores) * sign >= -1e-9).all(), name


def test_directions() -> None:
    assert [direction(name) for name in ("fine_median", "detail_strong_tenth", "whole", "inliers")] == [1, 1, 1, 1]
    assert [direction(name) for name in ("inner_disagreement", "coarse_largest_strong_disagreement")] == [-1, -1]
    assert [direction(name) for name in ("fine_content", "fine_amount", "scale", "smaller_share")] == [0, 0, 0, 0]


def test_a_probability_that_means_what_it_says_has_no_error() -> None:
    same = np.arange(1000) % 4 == 0
    assert calibration_error(np.full(1000, 0.25), same) == pytest.approx(0)
    assert calibration_error(np.full(1000, 0.75), same) == pytest.approx(0.5)
    assert calibration_error(np.where(same, 1.0, 0.0), same) == 0


@pytest.fixture(scope="module")
def drawn() -> list[SignedPair]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "KINDS", {kind: KINDS[kind] for kind in ("logo", "form")})
        return list(drawn_pairs(1, 3))


def test_drawn_pairs_have_copies_and_others_of_each_kind(drawn: list[SignedPair]) -> None:
    for kind in ("logo", "form"):
        same = [pair.same for pair in drawn if pair.kind == kind]
        assert sum(same) == 48
        assert sum(same) < len(same) - 70
    assert all((pair.left == pair.right) <= pair.same for pair in drawn)
    assert len({pair.group for pair in drawn}) == 32


def test_a_copy_agrees_more_than_another_of_its_template(drawn: list[SignedPair]) -> None:
    steps: list[int] = []
    seen = measure(drawn[:40], steps.append)
    assert sum(steps) == 40
    agreement = seen.features[:, FEATURES.index("fine_weighted")]
    assert np.median(agreement[seen.same]) > np.median(agreement[~seen.same]) + 0.1
