"""Printed matter: pages of a document, slides, receipts, forms."""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.drawings import words
from training.drawings.canvas import BLACK, WHITE, Colour, colour, fitted, light, page, write

GREY: Colour = (120, 120, 120)


def document(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """A page of text, with a title, paragraphs and a page number, in one or two columns."""
    width, height = 850, 1100
    size, columns = int(template.integers(13, 19)), int(template.integers(1, 3))
    margin, gap, ink = int(template.integers(60, 110)), 30, colour(template) if template.random() < 0.3 else BLACK
    image, draw = page(width, height)
    write(draw, (margin, margin * 0.8), fitted(words.title(content), 34, width - 2 * margin), 34, ink)
    column = (width - 2 * margin - gap * (columns - 1)) / columns
    for number in range(columns):
        left, top = margin + number * (column + gap), margin * 0.8 + 70
        while top < height - margin - 40:
            for _ in range(int(content.integers(3, 9))):
                if top >= height - margin - 40:
                    break
                write(draw, (left, top), fitted(words.sentence(content, 24), size, column), size)
                top += size * 1.45
            top += size * 1.2
    write(draw, (width / 2, height - margin * 0.6), str(int(content.integers(1, 400))), size, GREY, "mm")
    return image


def slide(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """A title over a few points, with the furniture of its template: a bar, a logo, a footer."""
    width, height = 1024, 576
    bar, ground = colour(template), light(template) if template.random() < 0.5 else WHITE
    image, draw = page(width, height, ground)
    if template.random() < 0.5:
        draw.rectangle((0, 0, width, 90), bar)
        write(draw, (40, 45), words.title(content), 40, WHITE, "lm")
    else:
        draw.rectangle((0, 0, 24, height), bar)
        write(draw, (60, 55), words.title(content), 40, bar, "lm")
    draw.ellipse((width - 90, height - 80, width - 40, height - 30), bar)
    write(draw, (60, height - 50), fitted(words.title(template), 16, 400), 16, GREY, "lm")
    top = 140.0
    for _ in range(int(content.integers(3, 7))):
        draw.ellipse((60, top + 8, 72, top + 20), bar)
        write(draw, (92, top), fitted(words.sentence(content, 12), 26, width - 200), 26)
        top += 58
    return image


def receipt(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """A shop's slip: its head, lines with prices, a sum."""
    width = int(template.integers(360, 460))
    lines = int(content.integers(6, 14))
    size = 18
    image, draw = page(width, 280 + lines * 30 + 110)
    write(draw, (width / 2, 40), words.title(template).upper(), 26, BLACK, "mm")
    write(
        draw,
        (width / 2, 76),
        f"{words.word(template).title()} Street {int(template.integers(1, 200))}",
        size,
        BLACK,
        "mm",
    )
    write(draw, (30, 120), f"Date {words.date(content)}", size)
    write(draw, (30, 146), f"No. {int(content.integers(10_000, 99_999))}", size)
    draw.line((30, 182, width - 30, 182), BLACK, 2)
    top = 200.0
    for _ in range(lines):
        write(draw, (30, top), fitted(words.words(content, 3).title(), size, width - 170), size)
        write(draw, (width - 30, top), words.amount(content), size, BLACK, "ra")
        top += 30
    draw.line((30, top + 6, width - 30, top + 6), BLACK, 2)
    write(draw, (30, top + 20), "TOTAL", 24)
    write(draw, (width - 30, top + 20), words.amount(content), 24, BLACK, "ra")
    return image


def form(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """A form that is filled in: labels and boxes by its template, entries by its content."""
    width, height = 800, 1000
    image, draw = page(width, height)
    accent = colour(template)
    write(draw, (60, 60), words.title(template), 34, accent)
    draw.line((60, 112, width - 60, 112), accent, 3)
    top = 150.0
    while top < height - 120:
        write(draw, (60, top), words.words(template, 2).capitalize(), 16, GREY)
        draw.rectangle((60, top + 24, width - 60, top + 62), WHITE, GREY)
        entry = (
            words.date(content) if content.random() < 0.2 else words.words(content, int(content.integers(1, 5))).title()
        )
        write(draw, (74, top + 32), entry, 20, (20, 30, 110))
        top += 92
    return image
