from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import MIN_REDUCED_SIDE, ImageLimits, decode, decode_for, prepare, resize
from phototriage.images.upright import Upright, whole
from tests.hostile_files import encode, exif_block, with_exif
from tests.tiny_models import input_rule

LIMITS = ImageLimits()


def waves(height: int, width: int) -> NDArray[np.uint8]:
    """A picture (height, width, 3) uint8 RGB of slow waves and one dark corner, alike in no orientation."""
    rows, columns = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    light = 128 + 60 * np.sin(9 * rows + 4 * columns) + 60 * np.cos(13 * columns - 5 * rows)
    light[: height // 4, : width // 4] *= 0.3
    return np.stack([light, light * 0.8, 255 - light], axis=-1).clip(0, 255).astype(np.uint8)


def config(side: int = 64, **changes: str) -> InputConfig:
    return input_rule(height=side, width=side, resize="bicubic", **changes)


@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(1045, 2059), (2061, 1030)])
def test_a_reduced_jpeg_gives_the_same_input(height: int, width: int, orientation: int, aspect: str) -> None:
    jpeg = with_exif(encode(waves(height, width), "JPEG", quality=95), exif_block(orientation))
    fast = prepare(jpeg, config(aspect=aspect), LIMITS)
    full = resize(decode(jpeg, LIMITS), config(aspect=aspect))
    assert fast.geometry == full.geometry
    assert np.abs(fast.pixels.astype(int) - full.pixels).mean() < 0.6
    assert np.abs(fast.pixels.astype(int) - full.pixels).max() < 12


def test_what_sticks_out_is_left_out() -> None:
    """1,025 columns make 513 of half the size, of which the last is half outside."""
    decoded = decode_for(encode(waves(1025, 1025), "JPEG"), [config()], LIMITS)
    assert decoded.image.size == (513, 513)
    assert (decoded.height, decoded.width, decoded.smallest_side) == (1025, 1025, 1025)
    assert decoded.extent == (0, 0, 512.5, 512.5)


@pytest.mark.parametrize(
    ("side", "input_side", "expected"),
    [
        (1023, 64, 1023),  # half of it would be below the least
        (1024, 64, 512),
        (4096, 64, 512),
        (4095, 64, 1024),
        (4096, 300, 1024),  # twice the input at least
        (1024, 256, 512),
        (1024, 257, 1024),
    ],
)
def test_how_far_a_jpeg_is_reduced(side: int, input_side: int, expected: int) -> None:
    jpeg = encode(Image.new("L", (side, side), 77), "JPEG")
    assert decode_for(jpeg, [config(), config(input_side)], LIMITS).image.size == (expected, expected)


def test_other_formats_and_small_jpegs_are_decoded_whole() -> None:
    for kind, side in (("PNG", 2048), ("WEBP", 2048), ("JPEG", MIN_REDUCED_SIDE + 100)):
        data = encode(Image.new("RGB", (side, side), "red"), kind)
        decoded = decode_for(data, [config()], LIMITS)
        assert decoded.image.size == (decoded.width, decoded.height) == (side, side)


def test_cmyk_and_progressive_jpegs_are_reduced_too() -> None:
    picture = Image.fromarray(waves(1200, 1600))
    for image, options in ((picture.convert("CMYK"), {}), (picture, {"progressive": True}), (picture.convert("L"), {})):
        jpeg = encode(image, "JPEG", quality=95, **options)
        assert decode_for(jpeg, [config()], LIMITS).image.size == (800, 600)
        full = resize(decode(jpeg, LIMITS), config()).pixels.astype(int)
        assert np.abs(prepare(jpeg, config(), LIMITS).pixels - full).mean() < 0.6


def test_a_whole_image_is_itself() -> None:
    image = Image.new("RGB", (5, 3))
    assert whole(image) == Upright(image, 3, 5, whole(image).extent)
    assert whole(image, orientation=6).image.size == (3, 5)
