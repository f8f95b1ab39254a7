"""Colours of an embedded profile (ICC) → sRGB, by LittleCMS.

Phones write Display P3, cameras Adobe RGB, printers CMYK of their own. Taken for sRGB, colours are paler than they were
seen, and two copies of a photo differ.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4_000_000  # a printer's is about 2 MB
MAX_KEPT = 16  # transforms, each 2 MB at most; photos of one source have one profile
# In levels: profiles that say sRGB in other words differ by 1 from it.
TOLERANCE = 2
_SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}
_CLASSES = frozenset({b"mntr", b"scnr", b"prtr", b"spac"})
# A list of calculations of any length, which LittleCMS would do for every point of its table.
_UNBOUNDED = b"mpet"


# Gives an image in sRGB: the same one where it was RGB or RGBA, one of mode L for grey, and RGB for CMYK.
Transform = Callable[[Image.Image], Image.Image]


class _Transforms:
    """Transforms to sRGB by the profile's hash: the last MAX_KEPT, also those that aren't needed, which are None."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Transform | None] = OrderedDict()
        self._lock = Lock()

    def of(self, profile: bytes, mode: str) -> Transform | None:
        key = hashlib.sha256(profile).digest() + mode.encode()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _transform(profile, mode)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return made


_TRANSFORMS = _Transforms()
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """An image of mode RGB, RGBA, L, LA or CMYK, by its profile's bytes, in place where the mode stays the same: CMYK
    becomes RGB.

    It stays as it is where the profile is missing, broken, for another kind of pixels, too large or as good as sRGB.
    """
    mode = "L" if image.mode == "LA" else image.mode
    if not isinstance(profile, bytes) or not _is_for(profile, mode):
        return image
    transform = _TRANSFORMS.of(profile, mode)
    if transform is None:
        return image
    if image.mode == mode:
        return transform(image)
    return Image.merge("LA", (transform(image.getchannel("L")), image.getchannel("A")))


def _is_for(profile: bytes, mode: str) -> bool:
    """By the profile's header (ICC.1:2022, 7.2), whether it may be for pixels of this mode."""
    if not 128 <= len(profile) <= MAX_PROFILE_BYTES or profile[16:20] != _SPACES.get(mode):
        return False
    return profile[12:16] in _CLASSES and profile[36:40] == b"acsp" and _UNBOUNDED not in profile


def _transform(profile: bytes, mode: str) -> Transform | None:
    """None if the profile is broken or says no other colours than sRGB."""
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    if mode == "L":
        flags |= ImageCms.Flags.NOOPTIMIZE  # which would take straight lines for the curve's dark end
    try:
        made = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            _SRGB,
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "CMYK":
        return made.apply
    if mode == "L":
        ramp = np.arange(256, dtype=np.uint8)[np.newaxis]
        table = np.asarray(made.apply(Image.fromarray(ramp)))[..., 1]
        return None if _is_near(table, ramp) else partial(Image.Image.point, lut=table[0].tolist())
    probe = _probe().convert(mode)
    # In place, since an image of 50 megapixels takes 200 MB; opacity stays as it is.
    return None if _is_near(np.asarray(made.apply(probe)), np.asarray(probe)) else made.apply_in_place


def _is_near(pixels: NDArray[np.uint8], others: NDArray[np.uint8]) -> bool:
    return int(np.abs(pixels.astype(int) - others).max()) <= TOLERANCE


def _probe() -> Image.Image:
    """Nine levels of each colour, in all combinations, (81, 9, 3)."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(81, 9, 3))
