"""Sparse pictures: line drawings, logos, white art on transparency, one colour and nothing else."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.drawings import words
from training.drawings.canvas import BLACK, WHITE, Colour, colour, page, write


def _box(rng: np.random.Generator, width: int, height: int) -> tuple[float, float, float, float]:
    left, top = rng.uniform(0.06, 0.7) * width, rng.uniform(0.06, 0.7) * height
    return left, top, left + rng.uniform(0.08, 0.28) * width, top + rng.uniform(0.08, 0.28) * height


def _strokes(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: tuple[int, ...]) -> None:
    """Outlines of a few boxes, ellipses, arcs and lines."""
    for _ in range(int(rng.integers(6, 14))):
        box, kind = _box(rng, *size), int(rng.integers(4))
        if kind == 0:
            draw.rectangle(box, outline=ink, width=4)
        elif kind == 1:
            draw.ellipse(box, outline=ink, width=4)
        elif kind == 2:
            draw.arc(box, rng.uniform(0, 180), rng.uniform(200, 360), ink, 4)
        else:
            draw.line((box[0], box[1], rng.uniform(0, size[0]), rng.uniform(0, size[1])), ink, 4)


def drawing(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """Black outlines on white."""
    size = (int(template.choice([600, 700, 800])), int(template.choice([600, 700])))
    image, draw = page(*size)
    _strokes(draw, content, size, BLACK)
    return image


def transparent_art(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """White or black outlines on transparency, RGBA; the ground under it is as white."""
    size = (int(template.choice([600, 700])), 700)
    ink = WHITE if template.random() < 0.7 else BLACK
    image = Image.new("RGBA", size, (*ink, 0))
    _strokes(ImageDraw.Draw(image), content, size, (*ink, 255))
    return image


def logo(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """A sign of two or three filled shapes over or beside a name."""
    image, draw = page(512, 512, WHITE)
    inks: list[Colour] = [colour(content) for _ in range(3)]
    for number in range(int(content.integers(2, 4))):
        side = content.uniform(90, 230)
        left, top = 256 - side / 2 + content.uniform(-60, 60), 180 - side / 2 + content.uniform(-40, 40)
        kind = int(content.integers(3))
        if kind == 0:
            draw.ellipse((left, top, left + side, top + side), inks[number])
        elif kind == 1:
            draw.rounded_rectangle((left, top, left + side, top + side * content.uniform(0.4, 1)), 24, inks[number])
        else:
            draw.regular_polygon(
                (left + side / 2, top + side / 2, side / 2), int(content.integers(3, 8)), 0, inks[number]
            )
    write(draw, (256, 410), words.word(content).upper(), 48, inks[0] if template.random() < 0.5 else BLACK, "mm")
    return image


def blank(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """One colour all over, or one that fades a little."""
    first = tuple(int(value) for value in content.integers(0, 256, 3))
    width, height = int(template.choice([320, 480, 640])), int(template.choice([320, 480]))
    if template.random() < 0.7:
        return Image.new("RGB", (width, height), first)
    slope = np.linspace(0, content.uniform(4, 24), height)[:, None, None]
    rows = np.clip(np.array(first, float) + slope, 0, 255)
    return Image.fromarray(np.repeat(rows, width, axis=1).round().astype(np.uint8))
