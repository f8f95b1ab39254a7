from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.local_detectors import Detected, Detector, Missing, akaze, delf, detectors, looking_into_mirrors, orb
from phototriage.verification import keypoints
from phototriage.verification.evidence import verify
from phototriage.verification.signature import signature_of
from tests.verification.photos import drawn_photo
from training.studies.local_attention import LocalAttention


def present() -> list[Detector]:
    return [detector for detector in detectors(None)[0] if detector.name != "none"]


@pytest.mark.parametrize("detector", present(), ids=lambda detector: detector.name)
def test_a_photo_and_its_mirror_image_have_the_same_points(detector: Detector) -> None:
    grey = signature_of(drawn_photo(1)).grey
    found = detector.find(grey)
    assert 20 <= len(found.points) <= keypoints.MOST
    assert found.points.shape[1] == 2
    assert np.linalg.norm(found.descriptors, axis=1) == pytest.approx(1, abs=1e-3)
    assert (found.points >= 0).all()
    assert (found.points <= np.array(grey.shape[::-1])).all()
    itself = keypoints.matches(found.descriptors, found.descriptors, 0.9)
    assert (itself[:, 0] == itself[:, 1]).all()
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    seen = found if detector.re_orders else detector.find_mirrored(grey)
    pairs = keypoints.matches(seen.mirrored(), detector.find(mirrored).descriptors, 0.9)
    assert len(pairs) >= 20
    left, right = seen.points[pairs[:, 0]], detector.find(mirrored).points[pairs[:, 1]]
    assert np.median(np.abs(grey.shape[1] - 1 - left[:, 0] - right[:, 0])) <= 1
    assert np.median(np.abs(left[:, 1] - right[:, 1])) <= 1


def test_plain_images_have_no_points() -> None:
    plain = np.full((64, 96), 128, np.uint8)
    assert [len(detector.find(plain).points) for detector in present()] == [0] * len(present())


def test_the_transform_of_a_mirrored_part_is_found_by_points_that_cant_be_re_ordered() -> None:
    photo = drawn_photo(3)
    part = np.ascontiguousarray(photo[20:200, 40:260][:, ::-1])
    left, right = (Detected.of(signature_of(image), orb()) for image in (photo, part))
    with looking_into_mirrors():
        found = verify(left, right)
    assert found is not None
    assert found.hypothesis.by_points
    assert found.hypothesis.mirrored
    assert found.fine.median > 0.8


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "AKAZE", None, raising=False)
    with pytest.raises(Missing, match="extra modules"):
        akaze()
    with pytest.raises(Missing, match="local_attention"):
        delf(None)
    found, missing = detectors(None)
    assert [detector.name for detector in found][:3] == ["SIFT (ships)", "none", "ORB"]
    assert len(found) + len(missing) == 6


def test_points_by_attention_lie_in_the_middle_of_places(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LocalAttention()
    torch.save(network.state_dict(), tmp_path / "attention.pt")
    grey = signature_of(drawn_photo(1)).grey
    found = delf(tmp_path / "attention.pt").find(grey)
    assert found.descriptors.shape == (len(found.points), LocalAttention.numbers)
    height, width = grey.shape  # 144 × 192, enlarged to 288 × 384: 18 × 24 places
    places = (found.points + 0.5) * (24 / width, 18 / height) - 0.5
    assert len(found.points) == keypoints.MOST
    np.testing.assert_allclose(places, places.round(), atol=1e-3)
