"""Screenshots: a chat on a phone, an editor with code."""

from __future__ import annotations

import numpy as np
from PIL import Image

from training.drawings import words
from training.drawings.canvas import WHITE, Colour, colour, fitted, light, page, write
from training.reposts.lettering import font

INK: Colour = (25, 25, 25)


def chat(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """Messages on both sides, below a bar with a name."""
    width, height, size = 540, int(template.choice([960, 1000, 1170])), 20
    bar, ground, own = colour(template), light(template), light(template)
    image, draw = page(width, height, ground)
    draw.rectangle((0, 0, width, 78), bar)
    write(draw, (80, 39), words.title(content), 24, WHITE, "lm")
    draw.ellipse((20, 17, 64, 61), light(content))
    top = 100.0
    while top < height - 60:
        lines = [fitted(words.sentence(content, 8), size, 330) for _ in range(int(content.integers(1, 4)))]
        wide = max(font(size).getlength(line) for line in lines) + 40
        mine = content.random() < 0.5
        left = width - wide - 20 if mine else 20
        bottom = top + len(lines) * 28 + 20
        if bottom > height - 20:
            break
        draw.rounded_rectangle((left, top, left + wide, bottom), 14, own if mine else WHITE)
        for number, line in enumerate(lines):
            write(draw, (left + 20, top + 10 + number * 28), line, size, INK)
        top = bottom + 18
    return image


def code(content: np.random.Generator, template: np.random.Generator) -> Image.Image:
    """An editor: line numbers, indented lines, coloured words."""
    width, height, size = 960, 640, 18
    dark = template.random() < 0.6
    ground, ink, dim = ((30, 31, 38), (220, 223, 228), (110, 115, 125)) if dark else (WHITE, INK, (150, 150, 150))
    image, draw = page(width, height, ground)
    draw.rectangle((0, 0, width, 36), (50, 52, 62) if dark else (232, 232, 236))
    write(draw, (70, 18), f"{words.word(content)}_{words.word(content)}.py", 16, ink, "lm")
    accents = [colour(template) for _ in range(3)]
    if dark:
        accents = [(min(255, red + 90), min(255, green + 90), min(255, blue + 90)) for red, green, blue in accents]
    indent, first = 0, int(content.integers(1, 400))
    for number in range((height - 60) // 26):
        line = words.code_line(content)
        top = 50 + number * 26
        write(draw, (50, top), str(first + number), size, dim, "ra")
        shade = dim if line.startswith("#") else accents[int(content.integers(3))] if content.random() < 0.4 else ink
        write(draw, (70 + indent * 36, top), line, size, shade)
        indent = indent + 1 if line.endswith(":") else max(0, indent - int(content.integers(0, 2)))
        indent = min(indent, 5)
    return image
