from __future__ import annotations

import resource
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from phototriage.common.errors import UndecodableImage
from phototriage.images.pixels import ImageLimits, decode
from phototriage.images.png_chunks import pixel_chunks
from tests.hostile_files import encode, exif_block, picture, png_chunk

LIMITS = ImageLimits()
PNG = encode(picture(), "PNG")
BEFORE, AFTER = 33, len(PNG) - 12  # behind the header chunk, and in front of the last chunk
LONG = zlib.compress(bytes(3_000_000), 9)


def damaged(chunk: bytes) -> bytes:
    """With a wrong checksum."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def with_chunks(*chunks: bytes, at: int = BEFORE) -> bytes:
    return PNG[:at] + b"".join(chunks) + PNG[at:]


ANCILLARY = {
    "compressed text": png_chunk(b"zTXt", b"parameters\0\0" + LONG),
    "international text": png_chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
    "profile": png_chunk(b"iCCP", b"profile\0\0" + LONG),
    "profile of an unknown method": png_chunk(b"iCCP", b"profile\0\1" + LONG),
    "empty profile": png_chunk(b"iCCP", b""),
    "many texts": png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 70,
    "damaged text": damaged(png_chunk(b"tEXt", b"Software\0none")),
    "damaged time": damaged(png_chunk(b"tIME", bytes(7))),
    "damaged EXIF": damaged(png_chunk(b"eXIf", exif_block(6)[6:])),
    "short resolution": png_chunk(b"pHYs", b"ab"),
    "empty gamma": png_chunk(b"gAMA", b""),
    "text that is called as Pillow's own notes are": png_chunk(b"tEXt", b"transparency\0no")
    + png_chunk(b"tEXt", b"bbox\0no")
    + png_chunk(b"tEXt", b"interlace\0no"),
    "animation without frames": png_chunk(b"acTL", bytes(8)),
    "name that is no text": png_chunk(b"\xe9abc", b""),
}


@pytest.mark.parametrize("at", [BEFORE, AFTER])
@pytest.mark.parametrize("name", ANCILLARY)
def test_what_is_no_part_of_the_pixels_is_passed_over(name: str, at: int) -> None:
    np.testing.assert_array_equal(decode(with_chunks(ANCILLARY[name], at=at), LIMITS), picture())


def test_bombs_in_text_and_profile_take_no_memory_and_no_time() -> None:
    zeros = zlib.compress(bytes(30_000_000), 9)
    chunks = [png_chunk(b"zTXt", b"a\0\0" + zeros), png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)]
    data = with_chunks(*[*chunks, png_chunk(b"iCCP", b"a\0\0" + zeros)] * 100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    np.testing.assert_array_equal(decode(data, LIMITS), picture())
    assert time.process_time() - start < 0.3  # .01 s; inflating them takes 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize("at", [BEFORE, AFTER])
def test_orientation_that_is_whole_is_kept(at: int) -> None:
    data = with_chunks(png_chunk(b"eXIf", exif_block(6)[6:]), png_chunk(b"eXIf", exif_block(3)[6:]), at=at)
    np.testing.assert_array_equal(decode(data, LIMITS), np.rot90(picture(), -1))


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS"])
def test_damage_of_what_the_pixels_need_is_refused(kind: bytes) -> None:
    palette = Image.fromarray(picture()).quantize(16)
    data = bytearray(encode(palette, "PNG", transparency=bytes(range(0, 256, 16))))
    place = data.index(kind)
    end = place + 4 + int.from_bytes(data[place - 4 : place])
    data[end] ^= 1
    with pytest.raises(UndecodableImage):
        decode(bytes(data), LIMITS)


def test_a_profile_of_usual_size_is_kept_once() -> None:
    chunk = png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(500)))
    assert pixel_chunks(with_chunks(chunk, chunk)) == with_chunks(chunk)
    for content in (b"name\0\1" + chunk[14:-4], b"x" * 100, b"name\0\0no", chunk[8:-10]):
        assert pixel_chunks(with_chunks(png_chunk(b"iCCP", content))) == PNG


@pytest.mark.parametrize("place", ["length", "name", "content"])
def test_damaged_pixels_are_refused(place: str) -> None:
    name = PNG.index(b"IDAT")
    at = {"length": name - 1, "name": name + 1, "content": name + 20}[place]
    with pytest.raises(UndecodableImage):
        decode(PNG[:at] + bytes([(PNG[at] - 9) % 256]) + PNG[at + 1 :], LIMITS)


def test_default_image_of_an_animation_is_kept_alone() -> None:
    default, frame = Image.fromarray(picture()), Image.fromarray(picture()[::-1])
    for apart in (False, True):  # whether the default image is none of the frames
        data = encode(default, "PNG", save_all=True, append_images=[frame], default_image=apart)
        assert b"acTL" in data
        assert b"acTL" not in pixel_chunks(data)
        np.testing.assert_array_equal(decode(data, LIMITS), picture())


def test_a_png_without_anything_to_leave_out_stays_as_it_is() -> None:
    assert pixel_chunks(PNG) == PNG
    assert pixel_chunks(with_chunks(*ANCILLARY.values())) == PNG
    assert pixel_chunks(with_chunks(*ANCILLARY.values(), at=AFTER)) == PNG
