"""What all drawings are made with: a page, colours from a palette, text of a size at a place."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.reposts.lettering import font

Colour = tuple[int, int, int]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
PALETTE: tuple[Colour, ...] = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (0, 95, 86),
    (23, 45, 92),
)


def page(width: int, height: int, ground: Colour = WHITE) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An RGB image of that size and what draws on it."""
    image = Image.new("RGB", (width, height), ground)
    return image, ImageDraw.Draw(image)


def colour(rng: np.random.Generator) -> Colour:
    return PALETTE[int(rng.integers(len(PALETTE)))]


def light(rng: np.random.Generator) -> Colour:
    """A pale ground."""
    red, green, blue = (int(value) for value in rng.integers(222, 256, 3))
    return red, green, blue


def write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, ink: Colour = BLACK, anchor: str = "la"
) -> None:
    """Text of one line, `size` pixels high; `place` is (x, y), as Pillow has it."""
    draw.text(place, text, ink, font(size), anchor=anchor)


def fitted(text: str, size: int, width: float) -> str:
    """As many of the words as fit beside one another."""
    letters = font(size)
    parts = text.split(" ")
    while len(parts) > 1 and letters.getlength(" ".join(parts)) > width:
        parts.pop()
    return " ".join(parts)
