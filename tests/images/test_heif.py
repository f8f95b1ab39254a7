"""AVIF and HEIC: size and kind from the boxes, orientation applied once, and refusals by name."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from phototriage.common.errors import PhototriageError, TooLarge, UndecodableImage, UnsupportedImage
from phototriage.images import heic
from phototriage.images.av1_size import largest_picture
from phototriage.images.headers import Header, read_header
from phototriage.images.pixels import ImageLimits, decode
from tests.heif_files import Part, Source, av1_sequence_header, full_box, grid, heic_file, size_property, write
from tests.hostile_files import encode, exif_block, picture

LIMITS = ImageLimits()
GREY = np.asarray(Image.fromarray(picture()).convert("L"))
AVIF = encode(picture(), "AVIF", quality=100, subsampling="4:4:4")


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(data, LIMITS))


def assert_shows(data: bytes, expected: NDArray[np.uint8], difference: float = 3) -> None:
    pixels = decoded(data)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < difference


def with_exif(file: bytes, orientation: int) -> bytes:
    exif = Part(b"Exif", bytes(4) + exif_block(orientation)[6:])
    return write(b"avif", [Source.of(file).part(), exif])


# What is read


@pytest.mark.parametrize("name", ["photo", "ten_bits", "second_is_primary"])
def test_heic_shows_the_primary_picture(name: str) -> None:
    assert_shows(heic_file(name), picture())


@pytest.mark.parametrize("name", ["grey", "grey_ten_bits"])
def test_grey_heic_decodes_to_one_channel(name: str) -> None:
    assert_shows(heic_file(name), GREY)


def test_alpha_of_a_heic_is_laid_on_white() -> None:
    expected = picture().copy()
    expected[:, :16] = 255
    assert_shows(heic_file("alpha"), expected)


def test_heic_is_turned_once() -> None:
    assert_shows(heic_file("turned"), np.rot90(picture(), -1))
    assert b"Exif" in heic_file("turned")
    assert read_header(heic_file("turned")).format == "HEIC"


def test_avif_shows_the_picture() -> None:
    assert read_header(AVIF) == Header("AVIF", 24, 32, passes=1, tile_pixels=768)
    assert_shows(AVIF, picture())
    assert_shows(encode(GREY, "AVIF", quality=100), GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_an_avif_is_that_of_its_properties(orientation: int) -> None:
    def exif() -> Image.Exif:
        block = Image.Exif()
        block[0x0112] = orientation
        return block

    expected = decoded(encode(picture(), "PNG", exif=exif()))
    assert_shows(encode(picture(), "AVIF", quality=100, subsampling="4:4:4", exif=exif()), expected)
    assert_shows(with_exif(AVIF, orientation), picture())


def test_corrupt_exif_of_an_avif_is_ignored() -> None:
    block = Part(b"Exif", bytes(4) + b"II*\0\xff\xff\xff\xff")
    assert_shows(write(b"avif", [Source.of(AVIF).part(), block]), picture())


def test_first_frame_of_an_avif_sequence_counts() -> None:
    turned = Image.fromarray(picture()[::-1].copy())
    data = encode(picture(), "AVIF", quality=100, subsampling="4:4:4", save_all=True, append_images=[turned])
    assert data[8:12] == b"avis"
    assert_shows(data, picture())


@pytest.mark.parametrize("brand", [b"avif", b"heic"])
def test_grid_is_put_together(brand: bytes) -> None:
    if brand == b"avif":
        tile = picture(64, 64)
        data = grid(brand, Source.of(encode(tile, "AVIF", quality=100, subsampling="4:4:4")), 2, 3, 100, 150)
        assert_shows(data, np.tile(tile, (2, 3, 1))[:100, :150])
    else:  # tiles are 64×64, of which the picture fills the upper left part
        data = grid(brand, Source.of(heic_file("photo")), 2, 3, 100, 150)
        pixels = decoded(data)
        assert pixels.shape == (100, 150, 3)
        for row, column in ((0, 0), (64, 64)):
            part = pixels[row : row + 24, column : column + 32].astype(int)
            assert np.abs(part - picture()).mean() < 3
    header = read_header(data)
    assert (header.height, header.width, header.tile_pixels) == (100, 150, 64 * 64)
    assert header.passes == 2  # six tiles of 4,096 pixels for 15,000


# Refusals


def test_heic_without_a_decoder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heic, "IS_THERE", False)
    with pytest.raises(UnsupportedImage, match=r"is a HEIC.*pip install 'phototriage\[heic\]'"):
        decode(heic_file("photo"), LIMITS)


def test_avif_without_a_decoder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(UnsupportedImage, match="is an AVIF"):
        decode(AVIF, LIMITS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (write(b"mif1", [Part(b"jpeg", b"", [size_property(8, 8)])]), "HEIF of jpeg"),
        (struct.pack(">I", 24) + b"ftypqt  " + bytes(12), "ISO media file of brand qt"),
        (struct.pack(">I", 24) + b"ftypisom" + bytes(12), "ISO media file of brand isom"),
    ],
)
def test_other_contents_are_named(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedImage, match=words):
        decode(data, LIMITS)


def test_a_bitstream_larger_than_the_file_says_is_refused() -> None:
    for start in (b"", b"\x0a\x0b" + bytes(11), b"\x32\x05hello"):  # behind other units
        data = write(b"avif", [Part(b"av01", start + av1_sequence_header(9_000, 6_000), [size_property(24, 32)])])
        with pytest.raises(TooLarge, match="54000000"):
            decode(data, LIMITS)


def test_a_heic_bitstream_of_another_size_is_refused() -> None:
    data = write(b"heic", [Source.of(heic_file("photo")).part(ispe=size_property(8, 8), clap=b"")])
    with pytest.raises(UndecodableImage):
        decode(data, LIMITS)


def test_pictures_for_opacity_count() -> None:
    alpha = Source.of(encode(picture(), "AVIF")).part(
        ispe=size_property(9_000, 9_000),
        auxC=full_box(b"auxC", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"),
    )
    with pytest.raises(TooLarge):
        decode(write(b"avif", [Source.of(AVIF).part(), alpha]), LIMITS)


def test_items_that_share_their_bytes_are_refused() -> None:
    source = Source.of(AVIF)
    properties = list(source.properties.values())
    with pytest.raises(UndecodableImage):
        decode(write(b"avif", [Part(b"av01", source.content + bytes(1_000_000), properties, copies=1000)]), LIMITS)


@pytest.mark.parametrize("units", [1_000, 1_000_000])
def test_many_tiles_of_one_picture_and_many_units_take_no_time(units: int) -> None:
    source = Source.of(AVIF)
    tile = Part(b"av01", source.content + b"\x12\0" * units, list(source.properties.values()))
    whole = Part(b"grid", bytes(4) + struct.pack(">HH", 32, 24), [size_property(24, 32)], inputs=[2] * 5_000)
    start = time.process_time()
    for parts in ([whole, tile], [tile]):
        try:
            decode(write(b"avif", parts), LIMITS)
        except UndecodableImage:
            continue
    assert time.process_time() - start < 0.5  # .01 s; decoding all of them took 20


@pytest.mark.parametrize("file", [AVIF, heic_file("turned"), grid(b"avif", Source.of(AVIF), 2, 2, 48, 64)])
def test_damaged_header_is_read_or_refused(file: bytes) -> None:
    rng = np.random.default_rng(11)
    end = file.index(b"mdat")
    for _ in range(1_500):
        data = np.frombuffer(file, np.uint8).copy()
        places = rng.integers(0, end, rng.integers(1, 5))
        data[places] = rng.integers(0, 256, len(places))
        try:
            header = read_header(data.tobytes())
        except PhototriageError:
            continue
        assert header.height > 0


# The bitstream


def test_size_of_av1_pictures_is_read() -> None:
    turned = Image.fromarray(picture()[::-1].copy())
    for data in (AVIF, encode(GREY, "AVIF"), encode(picture(), "AVIF", save_all=True, append_images=[turned])):
        assert largest_picture(Source.of(data).content) == 24 * 32
    assert largest_picture(av1_sequence_header(123, 4567)) == 123 * 4567
    assert largest_picture(av1_sequence_header(8, 8) + av1_sequence_header(9, 9)) == 81
    assert largest_picture(b"") == 0
