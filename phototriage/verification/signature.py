"""What is compared in place of a photo: a small grey copy of it, and its points. It can be kept as a few kilobytes."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from phototriage.images.borders import find_content
from phototriage.images.box import Box
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from phototriage.images.upright import Upright, whole
from phototriage.verification import corners, keypoints
from phototriage.verification.corners import Corners
from phototriage.verification.keypoints import Keypoints

SIDE = 192  # of the grey copy, at most
LEAST_SIDE = 8
QUALITY = 40  # of the JPEG that is kept
MAX_BYTES = 24_000  # of a signature; one of nothing but noise takes 14,000
# A place shows something if the grey levels around it vary; with fewer such places, in all, an image is plain.
WINDOW, LEAST_VARIANCE, LEAST_CONTENT = 7, 25.0, 0.006

_HEAD = struct.Struct("<BII")  # format, height and width of the photo
_FORMAT = 1


class SignatureError(ValueError):
    """Bytes that are no signature. The message says what is wrong."""


@dataclass(frozen=True)
class Signature:
    """`grey` uint8 (h, w), at most SIDE on a side, of an upright photo of `height` × `width` pixels; points in grey's
    pixels. It is made from `encoded`, so a kept signature says exactly what a fresh one does."""

    grey: NDArray[np.uint8]
    height: int
    width: int
    encoded: bytes

    @cached_property
    def keypoints(self) -> Keypoints:
        """Found when they are first asked for: this takes most of a signature's time."""
        return keypoints.find(self.grey)

    @cached_property
    def corners(self) -> Corners:
        """Of a first look."""
        return corners.find(self.grey)

    @cached_property
    def mirrored_corners(self) -> Corners:
        """Of the mirrored image."""
        return corners.find(np.ascontiguousarray(self.grey[:, ::-1]))

    @cached_property
    def content(self) -> float:
        """Share of the image that shows anything."""
        grey = self.grey.astype(np.float32)
        window = (WINDOW, WINDOW)
        variance = cv2.sqrBoxFilter(grey, -1, window) - cv2.boxFilter(grey, -1, window) ** 2
        return float((variance > LEAST_VARIANCE).mean())

    @cached_property
    def content_box(self) -> Box | None:
        """What is inside plain borders, in grey's pixels; None without such borders."""
        return find_content(self.grey)

    @property
    def is_plain(self) -> bool:
        """Whether it shows next to nothing, so that there is nothing to compare."""
        return self.content < LEAST_CONTENT


def signature_of(image: Upright | Image.Image | NDArray[np.uint8]) -> Signature:
    """Of an upright photo: decoded, Pillow RGB or L, or uint8 (H, W, 3) RGB or (H, W) grey."""
    return decode(encode(image))


def encode(image: Upright | Image.Image | NDArray[np.uint8]) -> bytes:
    """A photo's signature as bytes: its size, and the grey copy as a JPEG."""
    if isinstance(image, Upright):
        upright = image
    else:
        upright = whole(image if isinstance(image, Image.Image) else Image.fromarray(image))
    height, width = _grey_size(upright.height, upright.width)
    config = InputConfig(
        height=height,
        width=width,
        colour="grey",
        resize="hamming",
        antialias=True,
        aspect="stretch",
    )
    file = io.BytesIO()
    grey = resize(upright, config).pixels[..., 0]
    Image.fromarray(grey).save(file, "JPEG", quality=QUALITY, optimize=True)
    return _HEAD.pack(_FORMAT, upright.height, upright.width) + file.getvalue()


def decode(encoded: bytes) -> Signature:
    """The signature that `encode` gave. Raises SignatureError."""
    if not _HEAD.size < len(encoded) <= MAX_BYTES:
        raise SignatureError(f"it has {len(encoded)} bytes, and a signature has {_HEAD.size + 1} to {MAX_BYTES}")
    kind, height, width = _HEAD.unpack_from(encoded)
    if kind != _FORMAT:
        raise SignatureError(f"its format is {kind}, and {_FORMAT} is read")
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(encoded[_HEAD.size :])) as file:
            sides = file.height, file.width
            if file.mode != "L" or not LEAST_SIDE <= min(sides) <= max(sides) <= SIDE:
                raise SignatureError(f"its grey copy is {file.width}×{file.height} of mode {file.mode}")
            grey = np.asarray(file, np.uint8)
    except SignatureError:
        raise
    except Exception as error:  # damaged files make Pillow raise anything
        raise SignatureError("its grey copy can't be decoded") from error
    if not min(height, width) > 0 or grey.shape != _grey_size(height, width):
        raise SignatureError(f"a photo of {width}×{height} has no grey copy of {grey.shape[1]}×{grey.shape[0]}")
    return Signature(grey, height, width, encoded)


def _grey_size(height: int, width: int) -> tuple[int, int]:
    """Of a photo's grey copy: in proportion, but no side below LEAST_SIDE."""
    share = min(1.0, SIDE / max(height, width))
    return max(LEAST_SIDE, round(height * share)), max(LEAST_SIDE, round(width * share))
