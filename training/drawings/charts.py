"""Charts: bars and lines, with axes, a title and labels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.drawings import words
from training.drawings.canvas import BLACK, Colour, colour, page, write

SIZE = (800, 600)
LEFT, TOP, RIGHT, BOTTOM = 90, 80, 760, 520  # of the plot
GRID: Colour = (215, 215, 215)


def _axes(content: np.random.Generator, template: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image, draw = page(*SIZE)
    write(draw, ((LEFT + RIGHT) / 2, 40), words.title(content), 26, BLACK, "mm")
    if template.random() < 0.5:
        for level in range(1, 6):
            y = BOTTOM - level * (BOTTOM - TOP) / 5
            draw.line((LEFT, y, RIGHT, y), GRID)
    top = int(content.integers(2, 60)) * 5
    for level in range(6):
        write(draw, (LEFT - 12, BOTTOM - level * (BOTTOM - TOP) / 5), str(top * level // 5), 15, BLACK, "rm")
    draw.line((LEFT, TOP, LEFT, BOTTOM, RIGHT, BOTTOM), BLACK, 2)
    return image, draw


def bar_chart(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    image, draw = _axes(content, template)
    shade, count = colour(template), int(content.integers(3, 10))
    step = (RIGHT - LEFT) / count
    for number in range(count):
        left = LEFT + (number + 0.18) * step
        height = content.uniform(0.05, 1) * (BOTTOM - TOP - 10)
        draw.rectangle((left, BOTTOM - height, left + 0.64 * step, BOTTOM), shade)
        write(draw, (left + 0.32 * step, BOTTOM + 18), words.word(content)[:8], 14, BLACK, "mm")
    return image


def line_chart(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    image, draw = _axes(content, template)
    first = int(template.integers(8))
    for series in range(int(content.integers(1, 4))):
        count = int(content.integers(8, 40))
        walk = np.cumsum(content.normal(size=count))
        heights = (walk - walk.min()) / max(1e-9, float(np.ptp(walk))) * content.uniform(0.4, 0.95)
        offset = content.uniform(0, 0.95 - heights.max()) if heights.max() < 0.95 else 0
        xs = np.linspace(LEFT, RIGHT, count)
        ys = BOTTOM - (heights + offset) * (BOTTOM - TOP)
        shade = colour(np.random.default_rng(first + series))
        draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), shade, 3, joint="curve")
    for number in range(6):
        x = LEFT + number * (RIGHT - LEFT) / 5
        write(draw, (x, BOTTOM + 18), str(2000 + number * int(content.integers(1, 5))), 14, BLACK, "mm")
    return image
