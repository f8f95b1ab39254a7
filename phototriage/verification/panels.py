"""Images with a title each, side by side or one above the other, and text that fits."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

GROUND: Colour = (250, 250, 250)
INK: Colour = (32, 36, 42)
MUTED: Colour = (92, 98, 106)
FRAME: Colour = (200, 203, 208)

GAP = 20  # pixels, between panels
LEAST_SIDE = 16  # of a panel: what is narrower is shown out of proportion
TITLE_SIZE, TITLE_HEIGHT = 15, 24
LINE_SPACING = 1.4  # of the font's size


@dataclass(frozen=True)
class Panel:
    """Where an image is shown, in pixels of the picture, under its title."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width


def arranged(
    proportions: Sequence[float], titles: Sequence[str], most_width: int, most_height: int, left: int, top: int
) -> list[Panel]:
    """Panels of images of these proportions (width over height), of one height side by side, or of one width one above
    the other, whichever shows them larger: within `most_width` × `most_height` but for titles."""
    gaps = GAP * (len(proportions) - 1)
    room = most_width - gaps
    height = min(most_height, room / sum(proportions))
    width = min(most_width, (most_height - gaps) / sum(1 / each for each in proportions))
    if height**2 * sum(proportions) < width**2 * sum(1 / each for each in proportions):
        return _stacked(proportions, width, left, top)
    columns = [text_width(title, TITLE_SIZE) for title in titles]
    narrow = [column > proportion * height for column, proportion in zip(columns, proportions, strict=True)]
    if any(narrow) and not all(narrow):  # a title is wider than its image, and the others have to make room for it
        taken = sum(column for column, is_narrow in zip(columns, narrow, strict=True) if is_narrow)
        others = sum(proportion for proportion, is_narrow in zip(proportions, narrow, strict=True) if not is_narrow)
        height = min(height, max(1.0, room - taken) / others)
    panels = []
    for proportion, column in zip(proportions, columns, strict=True):
        panels.append(_panel(left, top + TITLE_HEIGHT, proportion * height, height))
        left += max(panels[-1].width, column) + GAP
    return panels


def _stacked(proportions: Sequence[float], width: float, left: int, top: int) -> list[Panel]:
    panels = []
    for proportion in proportions:
        panels.append(_panel(left, top + TITLE_HEIGHT, width, width / proportion))
        top = panels[-1].bottom + GAP
    return panels


def _panel(left: int, top: int, width: float, height: float) -> Panel:
    return Panel(left, top, max(LEAST_SIDE, round(width)), max(LEAST_SIDE, round(height)))


def show(canvas: Image.Image, panel: Panel, image: Image.Image, title: str) -> None:
    """Paste the image, of the panel's size, in a thin frame below its title."""
    canvas.paste(image, (panel.left, panel.top))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((panel.left - 1, panel.top - 1, panel.right, panel.bottom), outline=FRAME)
    pen.text((panel.left, panel.top - TITLE_HEIGHT), title, fill=MUTED, font=font(TITLE_SIZE))


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, set by Pillow itself: with libraqm, which not every build has, letters stand elsewhere."""
    own = ImageFont.load_default(size=size)
    return own.font_variant(layout_engine=ImageFont.Layout.BASIC) if isinstance(own, ImageFont.FreeTypeFont) else own


def text_width(text: str, size: int) -> int:
    return round(font(size).getlength(text))


def plain(text: str) -> str:
    """On one line, and letters without accents, which the font lacks."""
    letters = unicodedata.normalize("NFKD", " ".join(text.split()))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def shortened(text: str, size: int, most: int) -> str:
    """With its middle left out where it is wider than `most` pixels."""
    if text_width(text, size) <= most:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if text_width(short, size) <= most:
            return short
    return "…"


def wrapped(text: str, size: int, most: int) -> list[str]:
    """Lines of at most `most` pixels; a single word that is wider is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= most:
            lines[-1] = longer
        else:
            lines.append(shortened(word, size, most))
    return lines
