"""Invented words, names, prices and colours, and text as a picture. The font is the one inside Pillow."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.reposts.severity import pick

Colour = tuple[int, int, int]

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
BASE_SIZE = 40  # pixels a line of a text tile; it is then scaled to where it goes

_SYLLABLES = ("al", "be", "cor", "da", "el", "fin", "ga", "hol", "in", "ka", "lo", "mar", "ne", "or", "ri", "so", "va")
_ENDINGS = ("estate", "homes", "rent", "living", "photo", "city", "24", "market", "stock", "rooms")
_NOUNS = ("apartment", "house", "flat", "studio", "garden", "kitchen", "view", "terrace", "room", "street", "offer")


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font; a smaller one than 5 pixels is no text."""
    loaded = ImageFont.load_default(max(5, size))
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("This Pillow has no FreeType. Install Pillow's wheel.")
    return loaded


def vivid(rng: np.random.Generator) -> Colour:
    """Any hue, well saturated."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.6, 1), rng.uniform(0.4, 0.95))
    return round(255 * red), round(255 * green), round(255 * blue)


def readable_on(colour: Colour) -> Colour:
    """Black or white, by ITU-R BT.601 luma."""
    red, green, blue = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else WHITE


def name(rng: np.random.Generator) -> str:
    return "".join(pick(_SYLLABLES, rng) for _ in range(pick((2, 3), rng))).capitalize()


def signature(rng: np.random.Generator) -> str:
    """What people write over their photos: a site, an author, a telephone number, a warning."""
    who, ending = name(rng), pick(_ENDINGS, rng)
    number = f"555-{int(rng.integers(10_000)):04}"
    lines = (f"www.{who.lower()}{ending}.com", f"© {who} {ending}", f"{who} {number}", f"@{who.lower()}", "PREVIEW")
    return pick((*lines, "do not copy", f"{who.upper()}\n{number}", f"{who} {ending}\n{number}"), rng)


def price(rng: np.random.Generator) -> str:
    # The font has no other currency's sign.
    before, after = pick((("$", ""), ("", " EUR"), ("USD ", ""), ("", "")), rng)
    return f"{before}{int(rng.integers(20, 999)) * 500:,}{after}"


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join((name(rng), *(pick(_NOUNS, rng) for _ in range(words - 1))))


def text_tile(text: str, colour: Colour, edge: Colour | None = None) -> Image.Image:
    """Text of one or more lines, RGBA, transparent around; `edge` outlines the letters."""
    letters, stroke = font(BASE_SIZE), 1 if edge is None else 3
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = draw.multiline_textbbox((0, 0), text, letters, stroke_width=stroke)
    size = (max(1, round(right - left)), max(1, round(bottom - top)))
    tile = Image.new("RGBA", size, (*(edge or colour), 0))
    draw = ImageDraw.Draw(tile)
    for width, ink in ((stroke, edge or colour), (1, colour)):
        draw.multiline_text((-left, -top), text, ink, letters, align="center", stroke_width=width, stroke_fill=ink)
    return tile
