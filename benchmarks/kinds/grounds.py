"""A photo as a small part of something else: a plain page, or the screen of a phone. Nothing that is drawn depends on
the photo: the same random numbers give two photos of one shape the same ground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.reposts.lettering import BLACK, WHITE, Colour, font, name, readable_on, sentence, vivid
from training.reposts.severity import pick

Rng = np.random.Generator
Ground = Callable[[Image.Image, float, Rng], Image.Image]  # RGB photo, share of the area, randomness → RGB

PAGE_AREA = 900_000  # pixels
SCREEN = (540, 1170)
_STATUS, _TITLE, _DOCK = 44, 64, 110  # pixels of the bars
_MARGIN = 10  # above and below a photo
_ICONS, _ROW = 4, 110  # in a row; pixels


def on_page(photo: Image.Image, share: float, rng: Rng) -> Image.Image:
    """On a page of one colour, in any proportions, of which it fills that share of the area, at any place."""
    proportion, place, colour = rng.uniform(0.7, 1.4), rng.random(2), _paper(rng)
    width, height = round((PAGE_AREA * proportion) ** 0.5), round((PAGE_AREA / proportion) ** 0.5)
    page = Image.new("RGB", (width, height), colour)
    _put(page, photo, share, (0, 0, width, height), place, colour)
    return page


def on_phone(photo: Image.Image, share: float, rng: Rng) -> Image.Image:
    """On a phone's screen, of which it fills that share: bars above and below, icons and lines of text around it."""
    width, height = SCREEN
    paper = pick((WHITE, WHITE, (28, 28, 30), BLACK, (240, 240, 235)), rng)
    place, rows = rng.random(2), int(rng.integers(2))
    screen = Image.new("RGB", SCREEN, paper)
    draw = ImageDraw.Draw(screen)
    _status_bar(draw, readable_on(paper), rng)
    bar = vivid(rng)
    draw.rectangle((0, _STATUS, width, _STATUS + _TITLE), bar)
    draw.text((24, _STATUS + 16), name(rng), readable_on(bar), font(28))
    top = _STATUS + _TITLE + 12
    for row in range(rows):
        _icons(draw, top + row * _ROW, readable_on(paper), rng)
    _lines(draw, top + rows * _ROW + 8, readable_on(paper), rng)
    red, green, blue = ((3 * value + 128) // 4 for value in paper)
    draw.rectangle((0, height - _DOCK, width, height), (red, green, blue))
    _icons(draw, height - _DOCK + 10, readable_on(paper), rng)
    _put(screen, photo, share, (0, top + rows * _ROW - _MARGIN, width, height - _DOCK), place, paper)
    return screen


def _paper(rng: Rng) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return pick((WHITE, BLACK, (128, 128, 128), (red, green, blue)), rng)


def _put(
    page: Image.Image,
    photo: Image.Image,
    share: float,
    box: tuple[int, int, int, int],
    place: NDArray[np.float64],
    ground: Colour,
) -> None:
    """Scaled to that share of the page's area, or as large as the box allows; `place` is (x, y), from 0 to 1. What is
    beside it gives way to the ground, as text does."""
    scale = (share * page.width * page.height / (photo.width * photo.height)) ** 0.5
    wide, tall = box[2] - box[0], box[3] - box[1]
    scale = min(scale, wide / photo.width, tall / photo.height)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    left, top = box[0] + round(place[0] * (wide - size[0])), box[1] + round(place[1] * (tall - size[1]))
    page.paste(ground, (box[0], max(box[1], top - _MARGIN), box[2], min(box[3], top + size[1] + _MARGIN)))
    page.paste(photo.resize(size, Image.Resampling.LANCZOS), (left, top))


def _status_bar(draw: ImageDraw.ImageDraw, ink: Colour, rng: Rng) -> None:
    width = SCREEN[0]
    draw.text((24, 10), f"{int(rng.integers(24))}:{int(rng.integers(60)):02}", ink, font(22))
    draw.rectangle((width - 64, 14, width - 24, 32), outline=ink, width=2)
    draw.rectangle((width - 64, 14, width - 64 + 40 * rng.uniform(0.2, 1), 32), ink)
    for bar in range(4):
        draw.rectangle((width - 120 + 12 * bar, 30 - 5 * bar, width - 113 + 12 * bar, 32), ink)


def _icons(draw: ImageDraw.ImageDraw, top: int, ink: Colour, rng: Rng) -> None:
    step = SCREEN[0] / _ICONS
    for number in range(_ICONS):
        left, colour = (number + 0.5) * step - 34, vivid(rng)
        draw.rounded_rectangle((left, top, left + 68, top + 68), 16, colour)
        draw.text((left + 34, top + 34), name(rng)[0], readable_on(colour), font(36), anchor="mm")
        draw.text((left + 34, top + 80), name(rng)[:8], ink, font(14), anchor="mm")


def _lines(draw: ImageDraw.ImageDraw, top: int, ink: Colour, rng: Rng) -> None:
    """Of text, down to the dock."""
    while top < SCREEN[1] - _DOCK - 30:
        draw.text((24, top), sentence(rng, int(rng.integers(2, 6))), ink, font(20))
        top += 34 if rng.random() < 0.8 else 60
