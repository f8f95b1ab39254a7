"""Signatures: what is kept of a photo, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, decode_for
from phototriage.verification import signature
from phototriage.verification.signature import MAX_BYTES, SIDE, SignatureError, decode, signature_of
from phototriage.verification.signature_cache import SignatureCache
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(1, 300, 400)
RULE = InputConfig(height=224, width=224, colour="rgb", resize="bicubic", antialias=True, aspect="stretch")


def test_it_is_kept_bit_by_bit() -> None:
    made = signature_of(PHOTO)
    kept = decode(made.encoded)
    assert (kept.height, kept.width) == (300, 400)
    assert kept.grey.shape == (144, SIDE)
    assert np.array_equal(kept.grey, made.grey)
    assert np.array_equal(kept.keypoints.descriptors, made.keypoints.descriptors)
    assert len(made.encoded) < 6000


def test_a_photo_decoded_at_a_reduced_size_is_the_photo() -> None:
    large = Image.fromarray(PHOTO).resize((4000, 3000), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=95)
    upright = decode_for(file.getvalue(), [RULE], ImageLimits())
    assert upright.image.width < 4000
    made = signature_of(upright)
    assert (made.height, made.width) == (3000, 4000)
    assert np.abs(made.grey.astype(int) - signature_of(large).grey).mean() < 2


@pytest.mark.parametrize(
    ("height", "width", "shape"), [(20, 30, (20, 30)), (1, 1, (8, 8)), (20_000, 3, (192, 8)), (192, 192, (192, 192))]
)
def test_small_and_odd_photos(height: int, width: int, shape: tuple[int, int]) -> None:
    made = signature_of(np.zeros((height, width, 3), np.uint8))
    assert made.grey.shape == shape
    assert decode(made.encoded).is_plain


def test_noise_alone_has_room() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert len(signature_of(noise).encoded) < MAX_BYTES


def test_what_is_plain() -> None:
    assert signature_of(np.full((90, 120, 3), 200, np.uint8)).is_plain
    slope = np.repeat(np.linspace(90, 120, 300)[:, None, None], 400, 1).repeat(3, 2).astype(np.uint8)
    assert signature_of(slope).is_plain
    dot = np.full((900, 1200, 3), 255, np.uint8)
    dot[400:410, 600:610] = 0
    assert signature_of(dot).is_plain
    line = np.full((900, 1200, 3), 255, np.uint8)
    line[440:450, 200:1000] = 0
    assert not signature_of(line).is_plain


def with_size(encoded: bytes, height: int, width: int) -> bytes:
    return signature._HEAD.pack(1, height, width) + encoded[signature._HEAD.size :]


def jpeg_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda good: b"", "it has 0 bytes"),
        (lambda good: good + bytes(MAX_BYTES), "bytes, and a signature has"),
        (lambda good: b"\x02" + good[1:], "its format is 2, and 1 is read"),
        (lambda good: good[:-800], "can't be decoded"),
        (lambda good: good[:9] + b"\x89PNG\r\n" * 9, "can't be decoded"),
        (lambda good: with_size(good, 300, 300), "a photo of 300×300 has no grey copy of 192×144"),
        (lambda good: with_size(good, 0, 400), "a photo of 400×0"),
        (lambda good: good[:9] + jpeg_of(Image.new("L", (400, 300))), "its grey copy is 400×300 of mode L"),
        (lambda good: good[:9] + jpeg_of(Image.new("RGB", (192, 144))), "192×144 of mode RGB"),
    ],
)
def test_what_is_no_signature(change, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SignatureError, match=told):
        decode(change(signature_of(PHOTO).encoded))


def test_the_cache_decodes_each_once() -> None:
    cache, encoded = SignatureCache(most=1), signature_of(PHOTO).encoded
    first = cache(encoded)
    assert cache(encoded) is first
    cache(signature_of(PHOTO[:100]).encoded)
    assert cache(encoded) is not first
