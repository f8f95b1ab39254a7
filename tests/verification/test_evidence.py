"""What is measured of copies, and of others that look alike."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.verification.evidence import Evidence, verify
from phototriage.verification.signature import SIDE, signature_of
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(3, 300, 400)


def evidence(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Evidence:
    found = verify(signature_of(left), signature_of(np.ascontiguousarray(right)))
    assert found is not None
    return found


def test_a_photo_agrees_with_itself_wholly() -> None:
    found = evidence(PHOTO, PHOTO)
    assert found.share_of_a == pytest.approx(1, abs=0.02)
    assert found.share_of_b == pytest.approx(1, abs=0.02)
    assert found.fine.median > 0.88
    assert (found.fine.disagreement, found.coarse.disagreement) == (0, 0)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_photos_agree(turns: int) -> None:
    found = evidence(PHOTO, np.rot90(PHOTO, turns))
    assert found.fine.median > 0.85
    assert found.coarse.disagreement == 0


def test_a_crop_is_all_in_the_photo_and_the_photo_not_all_in_the_crop() -> None:
    found = evidence(PHOTO, PHOTO[50:250, 100:300])
    assert found.share_of_a == pytest.approx(1 / 3, abs=0.02)
    assert found.share_of_b == pytest.approx(1, abs=0.03)
    assert found.fine.disagreement < 0.01
    back = evidence(PHOTO[50:250, 100:300], PHOTO)
    assert back.share_of_a == pytest.approx(found.share_of_b, abs=0.02)
    assert back.share_of_b == pytest.approx(found.share_of_a, abs=0.02)


def test_a_reduced_copy_is_compared_at_its_own_resolution() -> None:
    found = evidence(PHOTO, cv2.resize(PHOTO, (100, 75), interpolation=cv2.INTER_AREA).astype(np.uint8))
    assert found.hypothesis.scale == pytest.approx(100 / SIDE, rel=0.03)
    assert found.fine.median > 0.85


def test_other_light_does_not_count() -> None:
    found = evidence(PHOTO, (0.5 * PHOTO + 90).astype(np.uint8))
    assert found.fine.median > 0.75


def test_different_photos_disagree() -> None:
    found = evidence(PHOTO, drawn_photo(4, 300, 400))
    assert found.coarse.disagreement > 0.3
    assert found.fine.median < 0.4


def test_one_frame_around_two_photos_is_no_agreement_of_what_it_shows() -> None:
    framed = []
    for seed in (5, 6):
        page = drawn_photo(7, 400, 400)
        page[100:300, 100:300] = drawn_photo(seed, 200, 200)
        framed.append(page)
    found = evidence(*framed)
    assert found.fine.median > 0.8
    assert found.fine.largest_disagreement == pytest.approx(0.25, abs=0.1)


def test_without_content_nothing_agrees() -> None:
    found = evidence(np.full((90, 90, 3), 40, np.uint8), np.full((90, 90, 3), 40, np.uint8))
    assert (found.fine.content, found.fine.median, found.fine.disagreement) == (0, 0, 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 900), (8, 8)])
def test_tiny_and_narrow_images_are_compared_too(size: tuple[int, int]) -> None:
    image = drawn_photo(8, 300, 900)[: size[0], : size[1]]
    signature = signature_of(np.ascontiguousarray(image))
    assert min(signature.grey.shape) >= 8
    verify(signature, signature)
