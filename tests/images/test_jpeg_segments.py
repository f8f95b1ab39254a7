from __future__ import annotations

import struct
import time

import numpy as np
import pytest

from phototriage.common.errors import UndecodableImage
from phototriage.images.jpeg_segments import readable_head
from phototriage.images.pixels import ImageLimits, decode
from tests.hostile_files import encode, exif_block, picture

LIMITS = ImageLimits()
JPEG = encode(picture(), "JPEG")
EXIF = b"Exif\0\0"


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(content)) + content


def with_segments(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


ODD = {
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "short Adobe": segment(0xEE, b"Adobe"),
    "short profile": segment(0xE2, b"ICC_PROFILE\0"),
    "profile of lost parts": segment(0xE2, b"ICC_PROFILE\0\2\5abc"),
    "Photoshop's data, cut": segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "empty segments": b"".join(segment(marker, b"") for marker in range(0xE0, 0xF0)),
    "a long comment": segment(0xFE, bytes(65_000)) * 100,
    "a long EXIF": segment(0xE1, EXIF + bytes(65_000)) * 100,
    "long XMP": segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)) * 100,
    "a long profile": b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 200, 255] * 20_000)) for n in range(1, 201)),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_part_of_the_pixels_is_passed_over(name: str) -> None:
    np.testing.assert_array_equal(decode(with_segments(ODD[name]), LIMITS), decode(JPEG, LIMITS))


def test_many_exif_blocks_take_no_time() -> None:
    data = with_segments(segment(0xE1, EXIF + bytes(400)) * 20_000)
    start = time.process_time()
    np.testing.assert_array_equal(decode(data, LIMITS), decode(JPEG, LIMITS))
    assert time.process_time() - start < 1.5  # .1 s; joining them took 10


def test_markers_that_stand_alone_count_as_blocks() -> None:
    start = time.process_time()
    with pytest.raises(UndecodableImage, match="50000 blocks"):
        decode(with_segments(b"\xff\xd0" * 5_000_000), LIMITS)
    assert time.process_time() - start < 1


def test_the_first_exif_block_turns_the_image() -> None:
    data = with_segments(segment(0xE1, exif_block(6)), segment(0xE1, exif_block(3)), ODD["Photoshop's data, cut"])
    np.testing.assert_array_equal(decode(data, LIMITS), np.rot90(np.asarray(decode(JPEG, LIMITS)), -1))


def test_a_head_without_anything_to_leave_out_stays_as_it_is() -> None:
    whole = with_segments(segment(0xE1, exif_block(6)), segment(0xEE, b"Adobe" + bytes(7)))
    assert readable_head(whole) is whole
    assert readable_head(with_segments(ODD["short Adobe"], ODD["short profile"])) == JPEG
