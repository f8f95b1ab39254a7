from __future__ import annotations

import io
from time import thread_time

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from phototriage.images.borders import content_box, find_content
from phototriage.images.box import Box
from phototriage.images.upright import Upright, whole
from tests.verification.photos import drawn_photo

PHOTO = drawn_photo(3, 240, 320)


def iou(a: Box, b: Box) -> float:
    rows = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    columns = max(0.0, min(a.right, b.right) - max(a.left, b.left))
    shared = rows * columns
    return shared / (a.height * a.width + b.height * b.width - shared)


def laid(size: tuple[int, int], colour: tuple[int, int, int], top: int, left: int) -> tuple[Image.Image, Box]:
    """The photo on a page of (height, width), and where it is."""
    page = Image.new("RGB", size[::-1], colour)
    page.paste(Image.fromarray(PHOTO), (left, top))
    return page, Box(top, left, min(size[0], top + 240), min(size[1], left + 320))


def compressed(image: Image.Image) -> Upright:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    with Image.open(file) as jpeg:
        return whole(jpeg.convert(image.mode))


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (90, 10, 200), (128, 128, 128)])
@pytest.mark.parametrize(
    ("size", "top", "left"),
    [
        ((360, 320), 60, 0),  # letterbox
        ((240, 480), 0, 80),  # pillarbox
        ((400, 400), 100, 30),
        ((500, 800), 0, 0),  # in a corner
        ((900, 700), 660, 380),
        ((1100, 1300), 300, 800),
    ],
)
def test_a_photo_on_a_plain_ground_is_found(
    size: tuple[int, int], top: int, left: int, colour: tuple[int, int, int]
) -> None:
    page, place = laid(size, colour, top, left)
    found = content_box(compressed(page))
    assert found is not None
    assert iou(found, place) > 0.93


def test_grey_images_are_trimmed_too() -> None:
    page, place = laid((600, 600), (200, 200, 200), 100, 200)
    found = content_box(compressed(page.convert("L")))
    assert found is not None
    assert iou(found, place) > 0.93


def test_a_phones_screen_with_icons_and_a_caption() -> None:
    screen, place = laid((700, 320), (18, 18, 18), 200, 0)
    pen = ImageDraw.Draw(screen)
    for number in range(4):
        pen.ellipse((20 + 24 * number, 12, 34 + 24 * number, 26), fill=(230, 230, 230))
    pen.text((20, 480), "A caption of two or three words", fill="white")
    pen.rounded_rectangle((60, 600, 260, 650), 20, fill=(40, 90, 220))
    found = content_box(compressed(screen))
    assert found is not None
    assert iou(found, place) > 0.93


def test_text_that_touches_the_photo_is_cut_off() -> None:
    page, place = laid((600, 700), (255, 255, 255), 120, 180)
    ImageDraw.Draw(page).rectangle((60, 362, 240, 384), fill="black")
    found = content_box(compressed(page))
    assert found is not None
    assert iou(found, place) > 0.9


def test_bars_of_two_colours() -> None:
    image, place = laid((400, 320), (0, 0, 0), 80, 0)
    image.paste((250, 250, 250), (0, 320, 320, 400))
    found = content_box(compressed(image))
    assert found is not None
    assert iou(found, place) > 0.93


def test_a_photo_on_a_page_on_a_screen() -> None:
    page, place = laid((400, 500), (255, 255, 255), 80, 90)
    screen = Image.new("RGB", (700, 800), (30, 30, 30))
    screen.paste(page, (100, 200))
    found = content_box(compressed(screen))
    assert found is not None
    assert iou(found, Box(place.top + 200, place.left + 100, place.bottom + 200, place.right + 100)) > 0.9


def test_a_product_on_white_is_cut_to_its_extent() -> None:
    image = Image.new("RGB", (600, 400), "white")
    ImageDraw.Draw(image).polygon([(150, 300), (300, 60), (420, 330)], fill=(200, 30, 30))
    found = content_box(compressed(image))
    assert found is not None
    assert iou(found, Box(60, 150, 330, 420)) > 0.9


def test_rounded_corners_are_tolerated() -> None:
    page = Image.new("RGB", (600, 600), (240, 240, 235))
    mask = Image.new("L", (320, 240))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 319, 239), 30, fill=255)
    page.paste(Image.fromarray(PHOTO), (140, 180), mask)
    found = content_box(compressed(page))
    assert found is not None
    assert iou(found, Box(180, 140, 420, 460)) > 0.93


def test_a_ground_that_fades_a_little() -> None:
    values = np.repeat(np.linspace(220, 238, 600)[:, None, None], 600, axis=1).repeat(3, axis=2).astype(np.uint8)
    page = Image.fromarray(values)
    page.paste(Image.fromarray(PHOTO), (140, 180))
    found = content_box(compressed(page))
    assert found is not None
    assert iou(found, Box(180, 140, 420, 460)) > 0.93


@pytest.mark.parametrize("seed", range(8))
def test_a_photo_without_borders_stays_whole(seed: int) -> None:
    assert content_box(compressed(Image.fromarray(drawn_photo(seed, 240, 320)))) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (192, 256)])
@pytest.mark.parametrize("colour", [0, 130, 255])
def test_one_colour_has_no_content(size: tuple[int, int], colour: int) -> None:
    assert find_content(np.full(size, colour, np.uint8)) is None
    assert find_content(np.full((*size, 3), colour, np.uint8)) is None


def test_a_sky_is_no_border() -> None:
    """The skyline isn't straight, and the ground below isn't plain."""
    pixels = PHOTO.copy()
    for column in range(320):
        pixels[: 60 + abs(column - 160) // 2, column] = 250
    assert content_box(compressed(Image.fromarray(pixels))) is None


def test_a_thin_line_is_no_border() -> None:
    pixels: NDArray[np.uint8] = PHOTO.copy()
    pixels[:2] = 0
    assert content_box(whole(Image.fromarray(pixels))) is None


def test_it_is_fast() -> None:
    page, _ = laid((900, 1200), (255, 255, 255), 200, 500)
    small = np.asarray(page.resize((256, 192), Image.Resampling.BOX))
    times = []
    for _ in range(20):
        start = thread_time()
        find_content(small)
        times.append(thread_time() - start)
    assert min(times) < 0.005  # .5 ms where nothing else runs
