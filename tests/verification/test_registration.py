from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.verification.hypothesis import is_plausible
from phototriage.verification.registration import by_points, wholes
from phototriage.verification.signature import signature_of
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(1, 150, 190)  # smaller than a signature's side: one pixel is one


def at(affine: NDArray[np.float64], column: float, row: float) -> NDArray[np.float64]:
    return np.asarray(affine @ [column, row, 1.0])


def test_a_crop_is_found_where_it_lies() -> None:
    found = by_points(signature_of(PHOTO), signature_of(PHOTO[30:120, 20:150]), mirrored=False)
    assert found is not None
    np.testing.assert_allclose(at(found.affine, 20, 30), [0, 0], atol=2)
    np.testing.assert_allclose(at(found.affine, 149, 119), [129, 89], atol=2)
    assert found.scale == pytest.approx(1, abs=0.02)
    assert len(found.inliers) > 15


def test_a_mirrored_photo_is_found_mirrored_alone() -> None:
    sides = signature_of(PHOTO), signature_of(np.ascontiguousarray(PHOTO[:, ::-1]))
    found = by_points(*sides, mirrored=True)
    assert found is not None
    np.testing.assert_allclose(at(found.affine, 0, 10), [189, 10], atol=1)
    assert by_points(*sides, mirrored=False) is None


def test_photos_that_have_nothing_in_common_give_no_points() -> None:
    assert by_points(signature_of(PHOTO), signature_of(drawn_photo(2, 150, 190)), mirrored=False) is None


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_whole_is_turned_and_mirrored_as_it_has_to_be(turns: int, mirrored: bool) -> None:
    seen = np.ascontiguousarray(np.rot90(PHOTO[:, ::-1] if mirrored else PHOTO, turns))
    (found,) = wholes(signature_of(PHOTO), signature_of(seen))
    marked = np.zeros(PHOTO.shape[:2], np.uint8)
    marked[30, 70] = 1
    row, column = np.argwhere(np.rot90(marked[:, ::-1] if mirrored else marked, turns))[0]
    np.testing.assert_allclose(at(found.affine, 70, 30), [column, row], atol=1e-6)
    assert found.mirrored == mirrored


def test_two_plain_images_lie_on_one_another_as_they_are() -> None:
    plain = [signature_of(np.full((60, 80, 3), level, np.uint8)) for level in (10, 200)]
    (found,) = wholes(plain[0], plain[1])
    np.testing.assert_allclose(found.affine, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


@pytest.mark.parametrize(
    ("affine", "mirrored", "expected"),
    [
        ([[1, 0, 5], [0, 1, 5]], False, True),
        ([[1, 0, 5], [0, 1, 5]], True, False),
        ([[-1, 0, 5], [0, 1, 5]], True, True),
        ([[0.04, 0, 0], [0, 0.04, 0]], False, False),
        ([[4, 0, 0], [0, 1, 0]], False, False),
        ([[21, 0, 0], [0, 21, 0]], False, False),
    ],
)
def test_plausible(affine: list[list[float]], mirrored: bool, expected: bool) -> None:
    assert is_plausible(np.array(affine, float), mirrored) is expected
