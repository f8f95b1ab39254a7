from __future__ import annotations

import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.errors import PhototriageError, TooLarge, UndecodableImage
from phototriage.images.box import Box
from phototriage.images.headers import Header, read_header
from phototriage.images.input_config import Aspect, Colour, InputConfig, Resize
from phototriage.images.pixels import ImageLimits, decode, decode_for, prepare, resize
from phototriage.images.resampling import resample
from phototriage.images.transparency import DARK
from tests.hostile_files import (
    bad_files,
    encode,
    exif_block,
    good_files,
    picture,
    png,
    png_chunk,
    shared_strips,
    tiff_directory,
    with_exif,
)

LIMITS = ImageLimits()
GOOD = good_files()
BAD = bad_files()
GREY = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {  # EXIF 2.32, 4.6.4 A, tag 274
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: np.rot90(stored, 1),
}


def config(
    aspect: Aspect = "stretch",
    colour: Colour = "rgb",
    kernel: Resize = "bilinear",
    height: int = 8,
    width: int = 8,
) -> InputConfig:
    return InputConfig(height=height, width=width, colour=colour, resize=kernel, antialias=True, aspect=aspect)


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(data, LIMITS).convert("RGB"))


def first_pixel(data: bytes) -> list[int]:
    return [int(value) for value in decoded(data)[0, 0]]


def solid(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (8, 8), colour)


# Formats


@pytest.mark.parametrize("name", GOOD)
def test_every_good_file_becomes_the_input(name: str) -> None:
    prepared = prepare(GOOD[name], config(), LIMITS)
    assert prepared.pixels.shape == (8, 8, 3)
    assert prepared.pixels.dtype == np.uint8
    turned = name in {f"jpeg_orientation_{n}" for n in (5, 6, 7, 8)}
    assert (prepared.height, prepared.width) == ((32, 24) if turned else (24, 32))


@pytest.mark.parametrize(
    "name",
    ["png", "png_animated", "png_16_bit_colour", "webp_lossless", "bmp", "tiff", "tiff_lzw", "tiff_frames"],
)
def test_lossless_formats_keep_every_value(name: str) -> None:
    np.testing.assert_array_equal(decoded(GOOD[name]), picture())


@pytest.mark.parametrize("name", ["jpeg", "jpeg_progressive", "jpeg_profile", "jpeg_multi_picture", "webp"])
def test_lossy_formats_keep_the_picture(name: str) -> None:
    np.testing.assert_allclose(decoded(GOOD[name]).mean((0, 1)), picture().mean((0, 1)), atol=4)
    assert np.corrcoef(decoded(GOOD[name]).ravel(), picture().ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "alone"), [("gif_animated", "gif"), ("jpeg_multi_picture", "jpeg"), ("webp_animated", "webp")]
)
def test_first_of_several_frames_counts(name: str, alone: str) -> None:
    np.testing.assert_allclose(decoded(GOOD[name]).astype(int), decoded(GOOD[alone]).astype(int), atol=60)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("gif_animated", "first"),
        ("png_animated", "first"),
        ("webp_animated", "first"),
        ("avif_animated", "default"),
        ("gif", None),
        ("gif_transparent", None),
        ("png", None),
        ("webp_alpha", None),
        ("avif", None),
        ("heic", None),
        ("tiff_frames", None),
        ("jpeg_multi_picture", None),
    ],
)
def test_frame_of_an_animation_is_told(name: str, frame: str | None) -> None:
    assert read_header(GOOD[name]).frame == frame
    assert decode_for(GOOD[name], [config()], LIMITS).frame == frame


def test_default_image_of_an_apng_need_not_be_a_frame() -> None:
    others = {"save_all": True, "append_images": [Image.fromarray(picture()[::-1].copy())]}
    data = encode(picture(), "PNG", default_image=True, **others)
    assert read_header(data).frame == "default"
    np.testing.assert_array_equal(decoded(data), picture())
    one = png_chunk(b"acTL", struct.pack(">II", 1, 0)) + png_chunk(b"fcTL", bytes(26))
    assert read_header(GOOD["png"][:33] + one + GOOD["png"][33:]).frame is None


@pytest.mark.parametrize("between", [b"", b"!\xfe\3abc\1d\0", b"!\xf9\4\0\0\0\0\0!\xff\0"])
def test_frames_of_a_gif_are_found_behind_extensions(between: bytes) -> None:
    still = GOOD["gif"]
    frame = still[still.index(b",\0\0\0\0") : -1]
    assert read_header(still[:-1] + between + frame + b";").frame == "first"
    assert read_header(still[:-1] + between + b";").frame is None
    assert read_header(still[:-1] + between).frame is None


def test_frames_of_a_gif_are_not_looked_for_without_end() -> None:
    still = GOOD["gif"]
    start = time.process_time()
    assert read_header(still[:-2] + b"\1a" * 8_000_000 + b"\0,").frame is None
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("ink", "expected"),
    [
        ((0, 0, 0, 0), [255, 255, 255]),
        ((0, 255, 255, 0), [255, 0, 0]),
        ((255, 0, 255, 0), [0, 255, 0]),
        ((0, 0, 0, 255), [0, 0, 0]),
        ((0, 0, 0, 155), [100, 100, 100]),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_ink(kind: str, ink: tuple[int, ...], expected: list[int]) -> None:
    np.testing.assert_allclose(first_pixel(encode(solid("CMYK", ink), kind)), expected, atol=2)


def test_ycck_is_ink_as_luma() -> None:
    # Adobe stores 255 - ink: (191, 127, 127, 0) is written as (64, 128, 128, 255). With the transform set
    # to 2 the same bytes are a luma of 64 without colour, which is 64 of each ink and no black.
    jpeg = bytearray(encode(solid("CMYK", (191, 127, 127, 0)), "JPEG", quality=100))
    jpeg[jpeg.index(b"Adobe") + 11] = 2
    np.testing.assert_allclose(first_pixel(bytes(jpeg)), [191, 191, 191], atol=2)


def test_one_bit_is_black_and_white() -> None:
    stripes = np.tile([[True, False]], (4, 4))
    for kind in ("PNG", "TIFF", "BMP"):
        assert decoded(encode(stripes, kind))[0, :4, 0].tolist() == [255, 0, 255, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_high_byte(kind: str) -> None:
    wide = np.array([[0x0000, 0x00FF, 0x0100, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]], np.uint16)
    assert decoded(encode(wide, kind))[..., 0].tolist() == [[0, 0, 1, 0x12], [0x7F, 0x80, 0xFF, 0xFF]]


def test_16_bit_grey_tiff_may_be_inverted() -> None:
    tiff = tiff_directory({256: 2, 257: 1, 258: 16, 259: 1, 262: 0, 273: 122, 277: 1, 278: 1, 279: 4})
    assert len(tiff) == 122
    assert decoded(tiff + b"\0\0\xff\xff")[..., 0].tolist() == [[255, 0]]


def test_12_bit_grey_tiff_fills_the_range() -> None:
    tiff = tiff_directory({256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: 1, 279: 3})
    assert decoded(tiff + b"\xff\xf8\x00")[..., 0].tolist() == [[255, 128]]


def test_broken_colour_profile_is_ignored() -> None:
    np.testing.assert_array_equal(decoded(GOOD["jpeg_profile"]), decoded(GOOD["jpeg"]))


def test_grey_files_decode_to_one_channel() -> None:
    assert decode(GOOD["jpeg_grey"], LIMITS).mode == "L"


# Alpha


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid("RGBA", (255, 0, 0, 0)), [255, 255, 255]),
        (solid("RGBA", (255, 0, 0, 255)), [255, 0, 0]),
        (solid("RGBA", (255, 0, 0, 51)), [255, 204, 204]),  # a fifth of red on white
        (solid("LA", (100, 51)), [224, 224, 224]),  # 0.2 × 100 + 0.8 × 255
    ],
)
def test_alpha_is_laid_on_white(image: Image.Image, expected: list[int]) -> None:
    assert first_pixel(encode(image, "PNG")) == expected


def test_premultiplied_alpha_is_laid_on_white() -> None:
    tiff = encode(solid("LA", (20, 51)), "TIFF")
    entry = tiff.index(b"\x52\x01\x03\x00")  # ExtraSamples: 2 is plain alpha, 1 premultiplied
    tiff = tiff[: entry + 8] + b"\1" + tiff[entry + 9 :]
    assert first_pixel(tiff) == [224, 224, 224]  # 20 + (255 - 51)


def test_palette_entries_may_be_translucent() -> None:
    colours = png_chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255])) + png_chunk(b"tRNS", bytes([51, 255]))
    assert decoded(png(2, 1, 8, 3, b"\0\0\1", colours)).tolist() == [[[255, 204, 204], [0, 0, 255]]]


@pytest.mark.parametrize(
    ("depth", "colour", "key", "row", "expected"),
    [
        (8, 0, b"\0\x32", b"\0\x32\x64", [255, 100]),
        (16, 0, b"\x12\x34", b"\0\x12\x34\x12\x35", [255, 0x12]),
        (8, 2, b"\0\1\0\2\0\3", b"\0\1\2\3\1\2\4", [255, 1]),
        (1, 0, b"\0\1", b"\0\x40", [0, 255]),
        (1, 0, b"\0\0", b"\0\x40", [DARK, 255]),  # white is what is visible
        (16, 0, b"\x12\x34", b"\0\x12\x34\xff\x35", [DARK, 255]),
    ],
)
def test_key_colour_is_transparent(depth: int, colour: int, key: bytes, row: bytes, expected: list[int]) -> None:
    data = png(2, 1, depth, colour, row, png_chunk(b"tRNS", key))
    assert decoded(data)[0, :, 0].tolist() == expected


def test_transparent_gif_is_laid_on_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    assert first_pixel(encode(image, "GIF")) == [0, 0, 255]
    image.putpixel((0, 0), 0)
    assert first_pixel(encode(image, "GIF", transparency=0)) == [255, 255, 255]


# Orientation


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(np.stack([GREY] * 3, axis=-1), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(data)[..., 0], UPRIGHT[orientation](GREY))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_of_a_jpeg_is_applied(order: str, orientation: int) -> None:
    blocks = np.kron(GREY, np.ones((8, 8), np.uint8))
    data = with_exif(encode(blocks, "JPEG", quality=100), exif_block(orientation, order))
    centres = decoded(data)[4::8, 4::8, 0]
    np.testing.assert_allclose(centres, UPRIGHT[orientation](GREY), atol=2)


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0XX" + bytes(20),
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif_block(6)[:20],
        exif_block(0),
        exif_block(9),
        exif_block(6)[:14] + b"\xff\xff" + exif_block(3)[16:18] + bytes(60),
    ],
)
def test_corrupt_exif_is_ignored(block: bytes) -> None:
    data = with_exif(GOOD["jpeg"], block)
    np.testing.assert_array_equal(decoded(data), decoded(GOOD["jpeg"]))


# Refusals


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_is_refused(name: str) -> None:
    data, status, code = BAD[name]
    with pytest.raises(PhototriageError) as caught:
        decode(data, LIMITS)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert not leaks(caught.value.detail)


def leaks(detail: str) -> bool:
    return any(inner in detail for inner in ("0x", "<", "/", "PIL", "object"))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (ImageLimits(max_bytes=100), [str(len(GOOD["png"])), "100"]),
        (ImageLimits(max_pixels=767), ["32×24", "768", "767"]),
    ],
)
def test_detail_names_value_and_limit(limits: ImageLimits, words: list[str]) -> None:
    with pytest.raises(TooLarge) as caught:
        decode(GOOD["png"], limits)
    assert all(word in caught.value.detail for word in words)


def test_image_at_the_limits_is_read() -> None:
    limits = ImageLimits(max_bytes=len(GOOD["png"]), max_pixels=768)
    assert decode(GOOD["png"], limits).size == (32, 24)


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2, 0xC9, 0xCA])
@pytest.mark.parametrize("together", [1, 3])
def test_scans_of_a_jpeg_are_counted_unless_its_first_holds_all(frame: int, together: int) -> None:
    size = struct.pack(">HBHHB", 17, 8, 24, 32, 3) + bytes(9)
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 2 * together, together) + bytes(2 * together + 3) + b"entropy"
    data = b"\xff\xd8\xff" + bytes([frame]) + size + 5 * scan + b"\xff\xd9"
    one = frame not in (0xC2, 0xCA) and together == 3
    assert read_header(data) == Header("JPEG", 24, 32, passes=1 if one else 5)


def test_scans_of_a_multi_picture_jpegs_other_pictures_do_not_count() -> None:
    assert GOOD["jpeg_multi_picture"].count(b"\xff\xda") == 2
    assert read_header(GOOD["jpeg_multi_picture"]).passes == 1


def test_a_second_scan_of_all_components_is_refused_and_not_decoded() -> None:
    jpeg = GOOD["jpeg"]
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    with pytest.raises(UndecodableImage):
        decode(jpeg[:-2] + 100_000 * scan + jpeg[-2:], ImageLimits(max_bytes=10**9))


def test_limit_above_pillows_own_is_refused() -> None:
    with pytest.raises(ValueError, match="89478485"):
        ImageLimits(max_pixels=90_000_000)


def test_bombs_are_refused_fast_and_in_little_memory() -> None:
    # In a process of its own, since the high-water mark of this one is high already.
    script = (
        "import resource, time\n"
        "from tests.hostile_files import bombs\n"
        "from phototriage.common.errors import TooLarge\n"
        "from phototriage.images.pixels import ImageLimits, decode\n"
        "files = bombs()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start = time.perf_counter()\n"
        "for data in files.values():\n"
        "    try:\n"
        "        decode(data, ImageLimits())\n"
        "    except TooLarge:\n"
        "        continue\n"
        "    raise SystemExit('a bomb was decoded')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.perf_counter() - start)\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    kilobytes, seconds = map(float, answer.stdout.split())
    assert kilobytes < 4_000
    assert seconds < 1


def test_strips_that_share_their_bytes_take_no_more_time_for_what_lies_behind() -> None:
    data = shared_strips(5_000) + bytes(19_000_000)
    start = time.process_time()
    assert decode(data, LIMITS).size == (16, 5_000)
    assert time.process_time() - start < 3  # .06 s; copying all that lies behind for each of them took 8


@pytest.mark.parametrize("name", GOOD)
def test_truncated_file_is_decoded_or_refused(name: str) -> None:
    data = GOOD[name]
    for length in sorted({*range(40), *np.linspace(40, len(data) - 1, 40).astype(int).tolist()}):
        decode_or_refuse(data[:length])


@pytest.mark.parametrize("name", GOOD)
def test_damaged_file_is_decoded_or_refused(name: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        data = np.frombuffer(GOOD[name], np.uint8).copy()
        places = rng.integers(0, rng.choice([64, len(data)]), rng.integers(1, 6)) % len(data)
        data[places] = rng.integers(0, 256, len(places))
        decode_or_refuse(data.tobytes())


def decode_or_refuse(data: bytes) -> None:
    error: PhototriageError | None = None
    try:
        decode(data, LIMITS)
    except PhototriageError as caught:
        error = caught
    assert error is None or error.status in (413, 415, 422)
    assert error is None or not leaks(error.detail)


def test_cut_header_is_refused_as_corrupt() -> None:
    with pytest.raises(UndecodableImage, match="cut short"):
        decode(GOOD["png"][:20], LIMITS)


def test_threads_get_the_same_pixels() -> None:
    files = list(GOOD.values()) * 4
    with ThreadPoolExecutor(8) as threads:
        inputs = threads.map(lambda data: prepare(data, config(), LIMITS).pixels, files)
        for data, pixels in zip(files, inputs, strict=True):
            np.testing.assert_array_equal(pixels, prepare(data, config(), LIMITS).pixels)


# The config


@pytest.mark.parametrize("kernel", ["box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_config_names_the_kernel_and_the_part(kernel: Resize) -> None:
    image = Image.fromarray(picture(60, 100))
    for size in (24, 224):
        expected = resample(image, Box(0, 20, 60, 80), size, size, kernel)
        cropped = resize(image, config("crop", kernel=kernel, height=size, width=size))
        np.testing.assert_array_equal(cropped.pixels, np.asarray(expected))


def test_box_filter_takes_the_mean() -> None:
    image = np.zeros((16, 16), np.uint8)
    image[::2, ::2], image[1::2, ::2] = 200, 100  # each block of 2×2 holds 200, 100, 0, 0
    assert np.unique(resize(image, config(kernel="box")).pixels).tolist() == [75]


def test_pad_fills_with_white() -> None:
    pixels = resize(np.zeros((4, 8, 3), np.uint8), config("pad")).pixels
    assert pixels[:, 0, 0].tolist() == [255, 255, 0, 0, 0, 0, 255, 255]


def test_crop_leaves_out_the_sides() -> None:
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 8:16] = 90
    assert np.unique(resize(image, config("crop", kernel="box")).pixels).tolist() == [90]


def test_grey_input_is_luma() -> None:
    pixels = resize(np.full((8, 8, 3), (10, 200, 30), np.uint8), config(colour="grey")).pixels
    assert pixels.shape == (8, 8, 1)
    assert np.unique(pixels).tolist() == [124]  # 0.299 × 10 + 0.587 × 200 + 0.114 × 30 = 123.81


def test_grey_image_fills_three_channels() -> None:
    pixels = resize(np.full((5, 5), 40, np.uint8), config()).pixels
    assert pixels.shape == (8, 8, 3)
    assert np.unique(pixels).tolist() == [40]


def test_prepare_is_decode_then_resize() -> None:
    expected = resize(decode(GOOD["jpeg"], LIMITS), config("crop"))
    np.testing.assert_array_equal(prepare(GOOD["jpeg"], config("crop"), LIMITS).pixels, expected.pixels)


def test_input_is_writable() -> None:
    assert prepare(GOOD["png"], config(), LIMITS).pixels.flags.writeable


def test_other_modes_have_to_be_decoded_first() -> None:
    with pytest.raises(ValueError, match="CMYK"):
        resize(solid("CMYK", 0), config())


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (1, 65_535), (65_535, 1)])
@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
def test_lopsided_images_fit(size: tuple[int, int], aspect: Aspect) -> None:
    data = encode(np.full(size, 30, np.uint8), "PNG")
    prepared = prepare(data, config(aspect, height=8, width=40), LIMITS)
    assert (prepared.height, prepared.width) == size
    assert set(np.unique(prepared.pixels)) <= ({30, 255} if aspect == "pad" else {30})


def test_tall_image_for_a_wide_input_stays_small() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8), 255)[:, None]
    start = time.perf_counter()
    pixels = resize(ramp, config(kernel="box", height=256, width=2048)).pixels
    assert time.perf_counter() - start < 1
    np.testing.assert_array_equal(pixels[:, 1000, 0], np.arange(256))
