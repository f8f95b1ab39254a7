from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image, ImageDraw

from phototriage.images.pixels import ImageLimits, decode
from phototriage.images.transparency import DARK, MIN_DIFFERENCE, WHITE, difference_from_white, on_ground
from tests.hostile_files import encode, png, png_chunk

SIDE = 96


def ring(size: int = SIDE) -> Image.Image:
    """Opacity (L) of a drawn ring with anti-aliased edges; the corner is transparent."""
    large = Image.new("L", (4 * size, 4 * size))
    edge = size // 2
    ImageDraw.Draw(large).ellipse((edge, edge, 4 * size - edge, 4 * size - edge), outline=255, width=size // 4)
    return large.resize((size, size), Image.Resampling.BOX)


def drawn(colour: int, opacity: float = 1.0, size: int = SIDE) -> Image.Image:
    """A grey ring on transparent black, LA."""
    alpha = ring(size).point([round(opacity * value) for value in range(256)])
    ink = alpha.point([0, *[colour] * 255])
    return Image.merge("LA", (ink, alpha))


def ground(image: Image.Image) -> int:
    """The grey of the top left pixel."""
    values = np.asarray(image.convert("RGB"))[0, 0]
    assert (values == values[0]).all()
    return int(values[0])


def palette(image: Image.Image) -> Image.Image:
    """Entry 0 is transparent, entry 1 the ink: no partial opacity."""
    colour = int(np.asarray(image)[..., 0].max())
    indices = np.asarray(image)[..., 1] > 127
    paletted = Image.fromarray(indices.astype(np.uint8))
    paletted.putpalette([0, 0, 0, colour, colour, colour])
    return paletted


def grey_16_bit(image: Image.Image) -> bytes:
    """PNG of 16 bits whose key colour, 0x0102, is transparent."""
    colour, opaque = int(np.asarray(image)[..., 0].max()), np.asarray(image)[..., 1] > 127
    wide = np.where(opaque, colour << 8, 0x0102).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return png(image.width, image.height, 16, 0, rows, png_chunk(b"tRNS", b"\1\2"))


FILES: Mapping[str, Callable[[Image.Image], bytes]] = {
    "LA, PNG": lambda image: encode(image, "PNG"),
    "LA, TIFF": lambda image: encode(image, "TIFF"),
    "RGBA, PNG": lambda image: encode(image.convert("RGBA"), "PNG"),
    "RGBA, TIFF": lambda image: encode(image.convert("RGBA"), "TIFF"),
    "RGBA, WebP": lambda image: encode(image.convert("RGBA"), "WEBP", quality=60),
    "palette, PNG": lambda image: encode(palette(image), "PNG", transparency=b"\0\xff"),
    "palette, GIF": lambda image: encode(palette(image), "GIF", transparency=0),
    "16-bit key, PNG": grey_16_bit,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("ink", "expected"), [(0, WHITE), (128, WHITE), (252, DARK), (255, DARK)])
def test_every_kind_of_transparency_shows_its_content(kind: str, ink: int, expected: int) -> None:
    image = decode(FILES[kind](drawn(ink)), ImageLimits())
    assert image.mode == ("L" if kind in ("LA, PNG", "LA, TIFF", "16-bit key, PNG") else "RGB")
    values = np.asarray(image.convert("L")).astype(int)
    assert ground(image) == expected
    assert abs(values - expected).max() >= 127 - 4  # WebP is lossy


@pytest.mark.parametrize("opacity", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("size", [24, 96, 700])
def test_the_bound_holds_whatever_the_opacity_and_size(size: int, opacity: float) -> None:
    margin = 2 if opacity > 0.2 else 6  # 8 bits hold a tenth of a difference of 16 as 2, or as 1
    assert ground(on_ground(drawn(round(255 - MIN_DIFFERENCE) + margin, opacity, size))) == DARK
    assert ground(on_ground(drawn(round(255 - MIN_DIFFERENCE) - margin, opacity, size))) == WHITE


@pytest.mark.parametrize("colour", [0, 100, 200, 240, 255])
def test_difference_of_one_colour_is_its_own(colour: int) -> None:
    image = drawn(colour)
    flat = Image.new("L", image.size, 255)
    flat.paste(image.convert("L"), mask=image.getchannel("A"))
    assert difference_from_white(flat, image.getchannel("A")) == pytest.approx(255 - colour, abs=1)


def test_difference_of_two_colours_by_hand() -> None:
    # Opaque white and black, black at half opacity: sqrt((0 + 255² + (255 - 127)²) / (1 + 1 + (128 / 255)²)) = 190.2
    flat = Image.fromarray(np.array([[255, 0, 127]], np.uint8))
    alpha = Image.fromarray(np.array([[255, 255, 128]], np.uint8))
    assert difference_from_white(flat, alpha) == pytest.approx(190.2, abs=0.1)


def test_colours_count_by_luma() -> None:
    yellow = Image.new("RGBA", (40, 40), (255, 255, 200, 0))
    yellow.paste((255, 255, 200, 255), (10, 10, 30, 30))  # luma 249
    assert ground(on_ground(yellow)) == DARK
    yellow.paste((255, 255, 0, 255), (10, 10, 30, 30))  # luma 226
    assert ground(on_ground(yellow)) == WHITE


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_nothing_visible_is_white(mode: str, size: tuple[int, int]) -> None:
    flat = on_ground(Image.new(mode, size, 0))
    assert (flat.size, flat.mode) == (size, mode[:-1])
    assert np.unique(np.asarray(flat)).tolist() == [255]


def test_opaque_content_is_untouched() -> None:
    values = np.random.default_rng(0).integers(200, 256, (20, 30, 3), np.uint8)
    image = Image.fromarray(values).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(on_ground(image)), values)


def test_black_beside_white_stays_on_white() -> None:
    """White boxes with thin black arrows between: dark arrows, a hundredth of the area, show on white alone."""
    diagram = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    pen = ImageDraw.Draw(diagram)
    pen.rectangle((30, 30, 570, 250), fill="white")
    pen.rectangle((30, 350, 570, 570), fill="white")
    pen.line((300, 250, 300, 350), fill="black", width=12)
    pen.line((60, 100, 400, 100), fill="black", width=4)
    assert ground(on_ground(diagram)) == WHITE


@pytest.mark.parametrize("size", [48, 150, 512, 1400])
@pytest.mark.parametrize("ink", [255, 225])
def test_a_resized_copy_is_on_the_same_ground(size: int, ink: int) -> None:
    original = drawn(ink, size=512)
    resized = original.resize((size, size), Image.Resampling.BICUBIC)
    assert ground(on_ground(resized)) == ground(on_ground(original)) == (DARK if ink == 255 else WHITE)


def test_different_white_drawings_are_different() -> None:
    square = Image.merge("LA", (Image.new("L", (SIDE, SIDE), 255), Image.new("L", (SIDE, SIDE), 0)))
    square.paste((255, 255), (20, 20, 60, 60))
    pages = [np.asarray(on_ground(image)).astype(int) for image in (drawn(255), square)]
    assert np.abs(pages[0] - pages[1]).mean() > 20
