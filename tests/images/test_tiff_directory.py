from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from phototriage.common.errors import UndecodableImage
from phototriage.images.pixels import ImageLimits, decode
from phototriage.images.tiff_directory import entries, pixel_tags
from tests.hostile_files import encode, picture

LIMITS = ImageLimits()
TIFF = encode(picture(), "TIFF")


def with_tag(tag: int, kind: int, values: bytes, count: int, outside: bool = False) -> bytes:
    """A TIFF with one more entry, whose values are behind all else, or beyond the end."""
    old = list(entries(TIFF))
    place = len(TIFF) + 12 * len(old) + 50
    place = 0x7FFFFFFF if outside else place + place % 2
    line = struct.pack("<HHII", tag, kind, count, place)
    kept = [TIFF[entry.at : entry.at + 12] for entry in old if entry.tag != tag]
    lines = sorted([line, *kept], key=lambda each: struct.unpack("<H", each[:2]))
    directory = struct.pack("<H", len(lines)) + b"".join(lines) + bytes(4)
    data = TIFF[:4] + struct.pack("<I", len(TIFF) + len(TIFF) % 2) + TIFF[8:] + bytes(len(TIFF) % 2) + directory
    return data if outside else data.ljust(place, b"\0") + values


ODD = {
    "a press agency's data as numbers": (33723, 4, 60_000),
    "a private list of doubles": (65000, 12, 400_000),
    "a transfer function": (301, 3, 196_608),
    "long XMP": (700, 1, 8_000_000),
    "a long name": (315, 2, 8_000_000),
}
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 12: 8}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("outside", [False, True])
def test_what_is_no_part_of_the_pixels_is_passed_over(name: str, outside: bool) -> None:
    tag, kind, count = ODD[name]
    data = with_tag(tag, kind, bytes(BYTES[kind] * count), count, outside)
    np.testing.assert_array_equal(decode(data, LIMITS), picture())


@pytest.mark.parametrize("tag", [34665, 34853, 330])  # EXIF, GPS, other directories
@pytest.mark.parametrize("place", [8, 0x7FFFFFFF])
def test_directories_elsewhere_are_not_followed(tag: int, place: int) -> None:
    data = with_tag(tag, 4, b"", 1, outside=True).replace(struct.pack("<I", 0x7FFFFFFF), struct.pack("<I", place))
    np.testing.assert_array_equal(decode(data, LIMITS), picture())


@pytest.mark.parametrize("tag", [273, 279, 338])
def test_long_lists_that_the_pixels_need_are_refused(tag: int) -> None:
    with pytest.raises(UndecodableImage, match="50000 blocks"):
        decode(with_tag(tag, 4, bytes(240_000), 60_000), LIMITS)


def test_orientation_is_kept() -> None:
    data = with_tag(274, 3, b"", 1, outside=True)
    turned = data.replace(struct.pack("<HHII", 274, 3, 1, 0x7FFFFFFF), struct.pack("<HHII", 274, 3, 1, 6))
    np.testing.assert_array_equal(decode(turned, LIMITS), np.rot90(picture(), -1))


def test_the_next_directory_is_left_out() -> None:
    pages = encode(picture(), "TIFF", save_all=True, append_images=[Image.fromarray(picture())])
    only = pixel_tags(pages)
    assert len(only) == len(pages)
    (start,) = struct.unpack_from("<I", only, 4)
    assert struct.unpack_from("<I", only, start + 2 + 12 * len(list(entries(only)))) == (0,)
