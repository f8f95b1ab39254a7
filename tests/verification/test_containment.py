"""One image in the other, found without points; and made exact."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.verification.containment import containments
from phototriage.verification.hypothesis import NO_INLIERS, Hypothesis
from phototriage.verification.refinement import refined
from phototriage.verification.signature import signature_of
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(5, 150, 190)  # smaller than a signature's side: one pixel is one


def at(affine: NDArray[np.float64], column: float, row: float) -> NDArray[np.float64]:
    return np.asarray(affine @ [column, row, 1.0])


def nearest(found: list[Hypothesis], corner: tuple[float, float], place: tuple[float, float]) -> float:
    """How near the best of them brings a place of A to where it lies in B."""
    return min(float(np.abs(at(each.affine, *corner) - place).max()) for each in found)


def test_a_crop_is_found_in_its_photo_and_the_photo_around_its_crop() -> None:
    photo, crop = signature_of(PHOTO), signature_of(PHOTO[20:131, 30:171])
    assert nearest(list(containments(photo, crop)), (30, 20), (0, 0)) < 8
    assert nearest(list(containments(crop, photo)), (0, 0), (30, 20)) < 8


def test_other_proportions_are_tried_too() -> None:
    squeezed = np.ascontiguousarray(PHOTO[:, ::2])
    found = list(containments(signature_of(PHOTO), signature_of(squeezed)))
    assert len(found) == 4
    assert nearest(found, (189, 149), (94.5, 149)) < 6
    assert len(list(containments(signature_of(PHOTO), signature_of(PHOTO)))) == 2


def test_a_stripe_is_no_content() -> None:
    assert not list(containments(signature_of(PHOTO), signature_of(PHOTO[:, :8])))[1:]


@pytest.mark.parametrize("shift", [(3.0, -2.0), (-4.0, 4.0)])
def test_a_hypothesis_is_made_exact(shift: tuple[float, float]) -> None:
    a, b = signature_of(PHOTO), signature_of(PHOTO[:, ::-1])
    mirror = np.array([[-1.0, 0, 189], [0, 1, 0]])
    off = mirror + np.array([[0.01, 0, shift[0]], [0, -0.02, shift[1]]])
    found = refined(a, b, Hypothesis(off, NO_INLIERS, True))
    assert found is not None
    assert found.mirrored
    for corner in ((0, 0), (189, 149)):
        np.testing.assert_allclose(at(found.affine, *corner), at(mirror, *corner), atol=1)


def test_nothing_to_hold_on_to_gives_no_hypothesis() -> None:
    plain = signature_of(np.full((90, 90, 3), 90, np.uint8))
    assert refined(plain, plain, Hypothesis(np.eye(3)[:2], NO_INLIERS, False)) is None
