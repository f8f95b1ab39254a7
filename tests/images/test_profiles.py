from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from phototriage.images import profiles
from phototriage.images.pixels import ImageLimits, decode, decode_reduced
from phototriage.images.profiles import MAX_KEPT, MAX_PROFILE_BYTES, to_srgb
from tests.colour_profiles import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    encode_srgb,
    grey_profile,
    rgb_profile,
    srgb_of,
)
from tests.heif_files import Source, box, heic_file, write
from tests.hostile_files import encode, picture

LIMITS = ImageLimits()
P3 = rgb_profile(DISPLAY_P3)


@pytest.fixture(autouse=True)
def transforms(monkeypatch: pytest.MonkeyPatch) -> profiles._Transforms:
    fresh = profiles._Transforms()
    monkeypatch.setattr(profiles, "_TRANSFORMS", fresh)
    return fresh


def decoded(image: Image.Image | NDArray[np.uint8], kind: str, profile: bytes, **options: object) -> NDArray[np.uint8]:
    return np.asarray(decode(encode(image, kind, icc_profile=profile, **options), LIMITS))


def assert_near(pixels: NDArray[np.uint8], expected: NDArray[np.uint8], levels: int = 2) -> None:
    assert pixels.shape == expected.shape
    assert int(np.abs(pixels.astype(int) - expected).max()) <= levels


# What a profile says


@pytest.mark.parametrize(("primaries", "gamma"), [(DISPLAY_P3, None), (ADOBE_RGB, ADOBE_GAMMA), (SRGB, 1.0)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colours_are_those_of_the_profile(kind: str, primaries: NDArray[np.float64], gamma: float | None) -> None:
    pixels = decoded(picture(), kind, rgb_profile(primaries, gamma), **({"lossless": True} if kind == "WEBP" else {}))
    expected = srgb_of(picture(), primaries, gamma)
    assert int(np.abs(expected.astype(int) - picture()).max()) > 10
    assert_near(pixels, expected)


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats_have_profiles_too(kind: str) -> None:
    red = np.full((16, 16, 3), (200, 60, 40), np.uint8)
    pixels = decoded(red, kind, P3, quality=100)
    assert_near(pixels, np.broadcast_to(srgb_of(red[:1, :1], DISPLAY_P3), red.shape), 4)


def test_heic_has_profiles_too() -> None:
    photo = Source.of(heic_file("photo")).part(colr=box(b"colr", b"prof", P3))
    pixels = np.asarray(decode(write(b"heic", [photo]), LIMITS)).astype(int)
    assert np.abs(pixels - srgb_of(picture(), DISPLAY_P3)).mean() < 3 < np.abs(pixels - picture()).mean()


def test_a_reduced_jpeg_is_converted_too() -> None:
    red = np.full((2000, 2000, 3), (200, 60, 40), np.uint8)
    upright = decode_reduced(encode(red, "JPEG", icc_profile=P3), LIMITS, 512)
    assert upright.image.size == (1000, 1000)
    assert_near(np.asarray(upright.image)[:1, :1], srgb_of(red[:1, :1], DISPLAY_P3), 4)


def test_grey_has_curves_of_its_own() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    expected = (encode_srgb((ramp / 255.0) ** 1.0) * 255).round().astype(np.uint8)
    for kind in ("PNG", "TIFF"):
        image = decode(encode(ramp, kind, icc_profile=grey_profile(1.0)), LIMITS)
        assert image.mode == "L"
        assert_near(np.asarray(image), expected)


def test_16_bit_grey_has_a_profile_too() -> None:
    wide = np.tile(np.arange(256, dtype=np.uint16) * 257, (4, 1))
    expected = (encode_srgb((wide / 65535.0) ** 1.0) * 255).round().astype(np.uint8)
    assert_near(decoded(Image.fromarray(wide), "TIFF", grey_profile(1.0)), expected)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_are_those_of_the_profile(kind: str) -> None:
    inks = {(0, 0, 0, 0): 255, (0, 0, 0, 255): 0, (255, 0, 0, 0): 119}  # L* 50 is 18.4 % of light, sRGB 119
    for ink, level in inks.items():
        pixels = decoded(Image.new("CMYK", (8, 8), ink), kind, cmyk_profile(50))
        assert_near(pixels, np.full((8, 8, 3), level, np.uint8), 3)


def test_translucent_images_are_converted_before_they_are_laid_on_white() -> None:
    translucent = Image.new("RGBA", (8, 8), (200, 60, 40, 51))
    shown = srgb_of(np.full((8, 8, 3), (200, 60, 40), np.uint8), DISPLAY_P3).astype(float)
    expected = (0.2 * shown + 0.8 * 255).round().astype(np.uint8)
    assert_near(decoded(translucent, "PNG", P3), expected)
    grey = decoded(Image.new("LA", (8, 8), (100, 51)), "PNG", grey_profile(1.0))
    assert_near(grey, np.full((8, 8), round(0.2 * 168 + 0.8 * 255), np.uint8))  # 100 / 255 of light is sRGB 168


def test_palettes_are_converted() -> None:
    palette = Image.fromarray(picture()).quantize(16)
    expected = srgb_of(np.asarray(palette.convert("RGB")), DISPLAY_P3)
    assert_near(decoded(palette, "PNG", P3), expected)


# What leaves an image as it is


def test_srgb_in_other_words_changes_nothing() -> None:
    for profile in (rgb_profile(SRGB), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        np.testing.assert_array_equal(decoded(picture(), "PNG", profile), picture())


@pytest.mark.parametrize(
    "damage",
    [
        lambda profile: profile[:100],
        lambda profile: profile[:150],
        lambda profile: b"",
        lambda profile: bytes(len(profile)),
        lambda profile: profile[:128] + b"\xff" * (len(profile) - 128),
        lambda profile: profile[:12] + b"link" + profile[16:],
        lambda profile: profile[:16] + b"CMYK" + profile[20:],
        lambda profile: profile.replace(b"para", b"mpet"),
        lambda profile: profile + bytes(MAX_PROFILE_BYTES),
    ],
)
def test_broken_and_foreign_profiles_are_ignored(damage: Callable[[bytes], bytes]) -> None:
    np.testing.assert_array_equal(to_srgb(Image.fromarray(picture()), damage(P3)), picture())
    np.testing.assert_array_equal(decoded(picture(), "TIFF", damage(P3)), picture())


def test_profiles_of_other_kinds_of_pixels_are_ignored() -> None:
    grey = np.full((8, 8), 100, np.uint8)
    np.testing.assert_array_equal(decoded(grey, "PNG", P3), grey)
    np.testing.assert_array_equal(decoded(picture(), "PNG", grey_profile(1.0)), picture())


def test_damaged_profiles_end_nothing() -> None:
    rng = np.random.default_rng(3)
    for whole, image, times in ((P3, Image.fromarray(picture()), 40), (cmyk_profile(50), Image.new("CMYK", (8, 8)), 8)):
        for _ in range(times):
            profile = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(0, rng.choice([250, len(profile)]), rng.integers(1, 5)) % len(profile)
            profile[places] = rng.integers(0, 256, len(places))
            assert to_srgb(image.copy(), profile.tobytes()).size == image.size


# Cost


def test_transforms_are_kept_by_content(transforms: profiles._Transforms) -> None:
    first = transforms.of(P3, "RGB")
    assert first is not None
    assert transforms.of(bytes(bytearray(P3)), "RGB") is first
    for gamma in range(MAX_KEPT):
        transforms.of(rgb_profile(SRGB, 1 + gamma / 16), "RGB")
    assert transforms.of(P3, "RGB") is not first
    assert len(transforms._kept) == MAX_KEPT


def test_threads_get_the_same_colours() -> None:
    files = [
        encode(picture(), "PNG", icc_profile=profile) for profile in (P3, rgb_profile(ADOBE_RGB, ADOBE_GAMMA)) * 20
    ]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda data: np.asarray(decode(data, LIMITS)), files))
    for i, pixels in enumerate(found):
        np.testing.assert_array_equal(pixels, found[i % 2])


def test_a_large_profile_takes_little_time() -> None:
    large = cmyk_profile(50) + bytes(MAX_PROFILE_BYTES - 5_000)
    start = time.process_time()
    for ending in range(3):
        to_srgb(Image.new("CMYK", (8, 8)), large + bytes(ending))
    assert time.process_time() - start < 1.5
