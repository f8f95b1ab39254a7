"""Where one photo lies in the other, against crops, turns and maps whose answer is known."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.verification.evidence import verify
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.placement import Placement, placement_of
from phototriage.verification.signature import signature_of
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(3, 300, 400)


def placement(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Placement:
    a, b = signature_of(left), signature_of(np.ascontiguousarray(right))
    evidence = verify(a, b)
    assert evidence is not None
    found = placement_of(a, b, evidence.hypothesis)
    assert found is not None
    return found


def area(polygon: tuple[tuple[float, float], ...]) -> float:
    rows, columns = np.array(polygon).T
    return float(abs(rows @ np.roll(columns, 1) - columns @ np.roll(rows, 1)) / 2)


def assert_box(polygon: tuple[tuple[float, float], ...], top: float, left: float, bottom: float, right: float) -> None:
    corners = np.array(polygon)
    np.testing.assert_allclose(corners.min(axis=0), [top, left], atol=2)
    np.testing.assert_allclose(corners.max(axis=0), [bottom, right], atol=2)
    assert area(polygon) == pytest.approx((bottom - top) * (right - left), rel=0.03)


def test_a_crop_lies_where_it_was_cut() -> None:
    found = placement(PHOTO, PHOTO[50:250, 100:320])
    assert_box(found.region_of_a, 50, 100, 250, 320)
    assert_box(found.region_of_b, 0, 0, 200, 220)
    assert found.scale == pytest.approx(1, abs=0.02)
    assert found.turn == pytest.approx(0, abs=1)
    back = placement(PHOTO[50:250, 100:320], PHOTO)
    assert_box(back.region_of_b, 50, 100, 250, 320)


def test_two_crops_share_the_part_that_both_have() -> None:
    found = placement(PHOTO[:, :300], PHOTO[40:, 80:])
    assert_box(found.region_of_a, 40, 80, 300, 300)
    assert_box(found.region_of_b, 0, 0, 260, 220)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("turns", "clockwise"), [(0, 0), (1, -90), (2, 180), (3, 90)])
def test_turns_and_mirrors_are_named(turns: int, clockwise: float, mirrored: bool) -> None:
    found = placement(PHOTO, np.rot90(PHOTO[:, ::-1] if mirrored else PHOTO, turns))
    assert found.mirrored is mirrored
    assert (found.turn - clockwise + 180) % 360 == pytest.approx(180, abs=1)
    assert -180 < found.turn <= 180
    assert_box(found.region_of_a, 0, 0, 300, 400)
    assert ("mirrored" in found.words, "turned" in found.words) == (mirrored, turns > 0)


def test_an_affine_map_sends_corners_and_points_where_they_belong() -> None:
    matrix = np.array([[0.5, 0.1, 90], [-0.1, 0.6, 80]])  # (column, row)
    found = placement(PHOTO, cv2.warpAffine(PHOTO, matrix, (400, 360)).astype(np.uint8))
    rows, columns = np.array(found.affine)
    np.testing.assert_allclose([rows[1], rows[0], columns[1], columns[0]], [-0.1, 0.6, 0.5, 0.1], atol=0.02)
    for inside, outside in ((found.region_of_a, found.region_of_b), (found.points_a, found.points_b)):
        mapped = np.array(found.affine) @ np.vstack([np.array(inside).T, np.ones(len(inside))])
        distances = np.linalg.norm(mapped.T - outside, axis=1)
        assert np.median(distances) < 1.5
    assert found.scale == pytest.approx(np.sqrt(0.31), rel=0.02)


def test_larger_copies_are_told_in_their_own_pixels() -> None:
    large = cv2.resize(PHOTO, (2400, 1800), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    found = placement(PHOTO, large)
    assert found.scale == pytest.approx(6, rel=0.02)
    assert f"resized to {found.scale:.0%}" in found.words
    rows, columns = np.array(found.region_of_b).T
    assert (rows.max(), columns.max()) == pytest.approx((1800, 2400), rel=0.01)


@pytest.mark.parametrize("reduced", [1.0, 0.4])
def test_other_light_is_told_whichever_photo_is_smaller(reduced: float) -> None:
    size = round(400 * reduced), round(300 * reduced)
    small = cv2.resize(PHOTO, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    darker = (0.5 * small + 60).astype(np.uint8)
    found, back = placement(PHOTO, darker), placement(darker, PHOTO)
    assert found.contrast == pytest.approx(0.5, abs=0.04)
    assert found.brightness == pytest.approx(60, abs=4)
    assert back.contrast == pytest.approx(2, abs=0.1)
    assert back.brightness == pytest.approx(-120, abs=10)
    assert f"grey levels times {found.contrast:.2f}" in found.words


def test_a_photo_is_in_itself_as_it_is_and_the_answer_is_plain_json() -> None:
    found = placement(PHOTO, PHOTO)
    assert found.words == "as it is"
    assert json.loads(json.dumps(dataclasses.asdict(found)))["turn"] == found.turn
    corners = np.array(found.region_of_a)
    assert (corners >= 0).all()
    assert (corners <= [300, 400]).all()


def test_what_was_moved_out_of_the_frame_has_no_place() -> None:
    signature = signature_of(PHOTO)
    away = Hypothesis(np.array([[1.0, 0, 500], [0, 1, 0]]), np.empty((0, 2), np.int64), mirrored=False)
    assert placement_of(signature, signature, away) is None
