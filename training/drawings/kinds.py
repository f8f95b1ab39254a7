"""All kinds of drawn images by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from training.drawings.charts import bar_chart, line_chart
from training.drawings.codes import qr_code
from training.drawings.line_art import blank, drawing, logo, transparent_art
from training.drawings.pages import document, form, receipt, slide
from training.drawings.screens import chat, code

Draw = Callable[[np.random.Generator, np.random.Generator], Image.Image]

KINDS: Mapping[str, Draw] = {
    "document": document,
    "slide": slide,
    "receipt": receipt,
    "form": form,
    "chat": chat,
    "code": code,
    "qr code": qr_code,
    "bar chart": bar_chart,
    "line chart": line_chart,
    "line drawing": drawing,
    "logo": logo,
    "transparent art": transparent_art,
    "blank": blank,
}
TEMPLATES = 4  # of each kind in a set


def draw(kind: str, number: int, template: int, seed: int = 0) -> Image.Image:
    """The `number`-th image of a kind in that template, RGB, or RGBA if it is transparent. Raises KeyError for an
    unknown kind."""
    place = zlib.crc32(kind.encode())
    content, look = (seed, place, 1, number), (seed, place, 2, template)
    return KINDS[kind](np.random.default_rng(content), np.random.default_rng(look))


def draw_set(kind: str, count: int, seed: int = 0) -> list[Image.Image]:
    """So many different images of a kind, TEMPLATES of which are used in turn."""
    return [draw(kind, number, number % TEMPLATES, seed) for number in range(count)]
