from __future__ import annotations

import numpy as np

from phototriage.verification.keypoints import find, matches
from tests.verification.photos import drawn_photo

GREY = drawn_photo(1).mean(axis=2).astype(np.uint8)


def test_descriptors_have_unit_length_and_points_lie_in_the_image() -> None:
    points, descriptors = find(GREY)
    assert 50 < len(points) <= 300 + 20  # as many as are equally strong
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)
    assert (points >= 0).all()
    assert (points < [GREY.shape[1], GREY.shape[0]]).all()


def test_a_plain_image_has_none() -> None:
    assert len(find(np.full((64, 64), 90, np.uint8)).points) == 0


def test_mirrored_descriptors_are_those_of_the_mirrored_image() -> None:
    plain, seen = find(GREY), find(np.ascontiguousarray(GREY[:, ::-1]))
    pairs = matches(plain.mirrored(), seen.descriptors, 0.9)
    width = GREY.shape[1]
    moved = np.abs(width - 1 - plain.points[pairs[:, 0], 0] - seen.points[pairs[:, 1], 0])
    assert len(pairs) > 0.6 * len(plain.points)
    assert np.mean(moved < 2) > 0.95
    assert len(matches(plain.descriptors, seen.descriptors, 0.9)) < 0.3 * len(pairs)


def test_matches_are_mutual_and_distinct() -> None:
    left = np.eye(4, dtype=np.float32)[[0, 1, 2]]
    right = np.eye(4, dtype=np.float32)[[2, 0, 3]]
    assert matches(left, right, 0.9).tolist() == [[0, 1], [2, 0]]
    # Two that are as near: none is taken.
    assert matches(left[:2], right[[1, 1]], 0.9).tolist() == []
    assert matches(left[:1], right, 0.9).tolist() == []
