"""A first look lets copies pass, refuses most others, and says the same both ways round."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.verification import screening
from phototriage.verification.corners import agreeing, find
from phototriage.verification.screening import may_be_same
from phototriage.verification.signature import signature_of
from phototriage.verification.verifier import Verifier
from tests.verification.handmade import config, stump
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(3, 300, 400)
OTHERS = [drawn_photo(seed, 300, 400) for seed in range(20, 36)]


@pytest.mark.parametrize(
    "copy",
    [
        PHOTO[20:, 30:],
        PHOTO[:, ::-1],
        np.rot90(PHOTO),
        PHOTO[60:260, 80:330],
        PHOTO[60:260, 330:80:-1],
        (PHOTO * 0.6 + 70).astype(np.uint8),
    ],
    ids=["cut", "mirrored", "turned", "cut to less than half", "cut and mirrored", "pale"],
)
def test_copies_pass(copy: NDArray[np.uint8]) -> None:
    a, b = signature_of(PHOTO), signature_of(np.ascontiguousarray(copy))
    assert may_be_same(a, b)
    assert may_be_same(b, a)


def test_most_others_are_refused_both_ways_round() -> None:
    signatures = [signature_of(other) for other in OTHERS]
    pairs = [(a, b) for place, a in enumerate(signatures) for b in signatures[:place]]
    passed = [may_be_same(a, b) for a, b in pairs]
    assert np.mean(passed) < 0.25
    assert passed == [may_be_same(b, a) for a, b in pairs]


def test_a_drawing_without_points_passes_as_a_part_of_its_copy() -> None:
    page = np.full((300, 300), 255, np.uint8)
    for left, top, right, bottom in np.random.default_rng(2).integers(0, 300, (4, 4)).tolist():
        cv2.line(page, (left, top), (right, bottom), 0, 5)
    a, b = signature_of(page), signature_of(np.ascontiguousarray(page[90:, 60:250]))
    assert not screening.has_points(a, b)
    assert not screening.correlates(a, b, screening.WHOLE)
    assert may_be_same(a, b)


def test_points_that_agree_are_counted() -> None:
    signature = signature_of(PHOTO)
    corners = find(signature.grey)
    assert agreeing(corners, corners) == len(corners.points) > 100
    assert agreeing(corners, find(np.zeros((64, 64), np.uint8))) == 0
    assert agreeing(corners, find(signature_of(OTHERS[0]).grey)) < screening.LEAST_POINTS


def test_what_a_first_look_refuses_is_not_verified() -> None:
    always = Verifier(config(), stump("fine_disagreement", 2.0, low=5.0, high=5.0))
    a = signature_of(PHOTO)
    b = next(other for each in OTHERS if not may_be_same(a, other := signature_of(each)))
    assert always.verify(a, b).decision == "duplicate"
    assert not always.are_same(a, b, 0.5)
    assert always.are_same(a, signature_of(PHOTO[10:]), 0.5)
    blank = signature_of(np.zeros((64, 64), np.uint8))
    assert not always.are_same(blank, blank, 0.5)
