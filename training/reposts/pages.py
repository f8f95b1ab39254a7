"""What is put around a photo: frames, bars, a listing's page, a screen.

As with overlays, nothing that is drawn depends on the photo's pixels, and no random number on its size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from training.reposts.lettering import BLACK, WHITE, Colour, font, name, price, readable_on, sentence, vivid
from training.reposts.severity import amount, pick

FRAME_SHARE = (0.03, 0.15)  # of the photo's shorter side, at each side
BAR_SHARE = (0.06, 0.22)  # of the result, at each end
CARD_SHARE = (0.75, 0.35)  # of the page, taken by the photo
SCREEN_SHARE = (0.8, 0.4)
PAGE_AREA = 1.3  # of the photo's, which is scaled to fit: a page shows it smaller than it was

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def frame(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A border outside the photo, of one colour or of two."""
    share, is_double, split = amount(*FRAME_SHARE, severity, rng), rng.random() < 0.5, rng.uniform(0.3, 0.7)
    inner, outer = (pick((BLACK, WHITE, (128, 128, 128), vivid(rng), vivid(rng)), rng) for _ in range(2))
    whole = max(2, round(share * min(photo.size)))
    first = max(1, round(split * whole)) if is_double else whole
    return ImageOps.expand(ImageOps.expand(photo, first, inner), whole - first, outer)


def letterbox(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Bars above and below, or left and right, outside the photo."""
    share, upright = amount(*BAR_SHARE, severity, rng), rng.random() < 0.5
    colour = pick((BLACK, BLACK, WHITE, (128, 128, 128), vivid(rng)), rng)
    length = photo.height if upright else photo.width
    bar = max(1, round(length * share / (1 - 2 * share)))
    return ImageOps.expand(photo, (0, bar) if upright else (bar, 0), colour)


def card(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A page of a listing: the photo with title, price, lines and a button below, above or beside."""
    share, margin = amount(*CARD_SHARE, severity, rng), rng.uniform(0, 0.035)
    paper = pick((WHITE, WHITE, (240, 240, 235), (40, 42, 48), vivid(rng)), rng)
    # With less than half of the page, a photo beside its text would make a strip of it.
    beside, photo_first = rng.random() < 0.5 and share > 0.5, rng.random() < 0.7
    photo = _shrunk(photo, share)
    width, height = photo.size
    edge = round(margin * math.sqrt(width * height))
    area = width * height / share
    if beside:
        page_height = height + 2 * edge
        page_width = max(round(area / page_height), width + 2 * edge)
        room = page_width - width - edge
        corner, text = (edge if photo_first else room, edge), (page_width - room if photo_first else 0, 0)
        box = (text[0], 0, text[0] + room, page_height)
    else:
        page_width = width + 2 * edge
        page_height = max(round(area / page_width), height + 2 * edge)
        room = page_height - height - edge
        corner, text = (edge, edge if photo_first else room), (0, page_height - room if photo_first else 0)
        box = (0, text[1], page_width, text[1] + room)
    page = Image.new("RGB", (page_width, page_height), paper)
    _listing(ImageDraw.Draw(page), box, paper, rng)
    page.paste(photo, corner)
    return page


def screenshot(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """The photo on the screen of a phone or in a browser's window, which it fills to 80 to 40 %."""
    share, is_phone = amount(*SCREEN_SHARE, severity, rng), rng.random() < 0.6
    paper = pick((WHITE, WHITE, (28, 28, 30), BLACK), rng)
    side = 0.0 if is_phone else rng.uniform(0, 0.1)
    photo = _shrunk(photo, share)
    width = photo.width + 2 * round(side * photo.width)
    height = max(round(photo.width * photo.height / share / width), photo.height + 4)
    screen = Image.new("RGB", (width, height), paper)
    spare = height - photo.height
    top = round(spare * rng.uniform(0.4, 0.65))
    draw, lower = ImageDraw.Draw(screen), (0, top + photo.height, width, height)
    if is_phone:
        _phone(draw, (0, 0, width, top), lower, paper, rng)
    else:
        _browser(draw, (0, 0, width, top), lower, paper, rng)
    screen.paste(photo, ((width - photo.width) // 2, top))
    return screen


def _listing(draw: ImageDraw.ImageDraw, box: Box, paper: Colour, rng: np.random.Generator) -> None:
    """Title, price, lines of text and a button, as many as there is room for."""
    left, top, right, bottom = box
    title, cost, accent, ink = sentence(rng, 3), price(rng), vivid(rng), readable_on(paper)
    action, lengths, price_first = (
        pick(("Contact", "Buy now", "Details", "Call"), rng),
        rng.random(10),
        rng.random() < 0.3,
    )
    unit = max(4.0, min((right - left) / 11, (bottom - top) / 1.5))
    x, y = left + 0.5 * unit, top + 0.25 * unit
    for text, size in ((cost, 1.1), (title, 0.9)) if price_first else ((title, 0.9), (cost, 1.1)):
        if y + size * unit > bottom:
            return
        draw.text((x, y), text, accent if text == cost and paper == WHITE else ink, font(round(size * unit)))
        y += 1.35 * size * unit
    _lines(draw, (x, y, right - 0.5 * unit, bottom - 2 * unit), 0.75 * unit, _between(ink, paper, 0.55), lengths)
    if bottom - y > 2 * unit:
        button = (x, bottom - 1.8 * unit, x + 5 * unit, bottom - 0.4 * unit)
        draw.rounded_rectangle(button, 0.3 * unit, accent)
        draw.text((x + 0.5 * unit, button[1] + 0.15 * unit), action, readable_on(accent), font(round(0.85 * unit)))


def _phone(draw: ImageDraw.ImageDraw, upper: Box, lower: Box, paper: Colour, rng: np.random.Generator) -> None:
    """A status bar and an application's title above, a row of buttons and some lines below."""
    clock, title = f"{int(rng.integers(24))}:{int(rng.integers(60)):02}", name(rng)
    charge, bar, lengths = rng.uniform(0.2, 1), pick((paper, vivid(rng)), rng), rng.random(10)
    width, height = upper[2], upper[3]
    unit, ink = min(width / 16, height / 2.6), readable_on(bar)
    draw.rectangle((0, 0, width, 2.6 * unit), bar)
    draw.text((0.6 * unit, 0.1 * unit), clock, ink, font(round(0.75 * unit)))
    _battery(draw, (width - 2 * unit, 0.25 * unit, width - 0.6 * unit, 0.8 * unit), charge, ink)
    for i in range(4):
        draw.rectangle(
            (width - (4 - 0.4 * i) * unit, (0.7 - 0.15 * i) * unit, width - (3.75 - 0.4 * i) * unit, 0.8 * unit), ink
        )
    draw.line(
        ((1.1 * unit, 1.3 * unit), (0.6 * unit, 1.75 * unit), (1.1 * unit, 2.2 * unit)), ink, max(1, round(unit / 8))
    )
    draw.text((2 * unit, 1.15 * unit), title, ink, font(round(unit)))
    _buttons(draw, lower, paper, rng)
    _lines(
        draw,
        (0.6 * unit, lower[1] + 2 * unit, width - unit, lower[3] - 0.5 * unit),
        0.8 * unit,
        _between(readable_on(paper), paper, 0.55),
        lengths,
    )


def _browser(draw: ImageDraw.ImageDraw, upper: Box, lower: Box, paper: Colour, rng: np.random.Generator) -> None:
    """Tabs, an address and a heading above, lines of text below."""
    tab, heading, lengths = name(rng), sentence(rng, 4), rng.random(10)
    address = f"https://www.{name(rng).lower()}.com/{name(rng).lower()}/{int(rng.integers(10_000))}"
    chrome = pick(((222, 225, 230), (53, 54, 58), (240, 240, 240)), rng)
    ink = readable_on(chrome)
    field = _between(chrome, WHITE if ink == BLACK else BLACK, 0.4)
    width, height = upper[2], upper[3]
    unit = min(width / 24, height / 2.6)
    draw.rectangle((0, 0, width, 2.6 * unit), chrome)
    for i, light in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        draw.ellipse(((0.5 + i) * unit, 0.4 * unit, (1.1 + i) * unit, unit), light)
    draw.rounded_rectangle((4 * unit, 0.2 * unit, 11 * unit, 1.6 * unit), 0.3 * unit, field)
    draw.text((4.4 * unit, 0.25 * unit), tab, ink, font(round(0.75 * unit)))
    draw.rounded_rectangle((3 * unit, 1.4 * unit, width - 2 * unit, 2.45 * unit), 0.5 * unit, field)
    draw.text((3.5 * unit, 1.5 * unit), address, ink, font(round(0.75 * unit)))
    if height > 4.4 * unit:
        draw.text((0.6 * unit, 2.9 * unit), heading, readable_on(paper), font(round(1.1 * unit)))
    _lines(
        draw,
        (0.6 * unit, lower[1] + 0.6 * unit, width - unit, lower[3] - 0.3 * unit),
        0.8 * unit,
        _between(readable_on(paper), paper, 0.55),
        lengths,
    )


def _battery(draw: ImageDraw.ImageDraw, box: Box, charge: float, ink: Colour) -> None:
    draw.rectangle(box, outline=ink)
    draw.rectangle((box[0], box[1], box[0] + charge * (box[2] - box[0]), box[3]), ink)


def _buttons(draw: ImageDraw.ImageDraw, box: Box, paper: Colour, rng: np.random.Generator) -> None:
    """Three or four round, square or three-cornered buttons in the first row below the photo."""
    count, kinds, colour = pick((3, 4), rng), rng.integers(3, size=4), pick((readable_on(paper), vivid(rng)), rng)
    unit = max(4.0, min(box[2] / 16, box[3] - box[1]))
    for i in range(count):
        x, y, radius = (0.5 + i) * box[2] / count, box[1] + unit, 0.4 * unit
        corners = (x - radius, y - radius, x + radius, y + radius)
        width = max(1, round(unit / 8))
        if kinds[i] == 0:
            draw.ellipse(corners, outline=colour, width=width)
        elif kinds[i] == 1:
            draw.rectangle(corners, outline=colour, width=width)
        else:
            draw.polygon(((x - radius, y + radius), (x, y - radius), (x + radius, y + radius)), fill=colour)


def _lines(draw: ImageDraw.ImageDraw, box: Box, pitch: float, ink: Colour, lengths: NDArray[np.float64]) -> None:
    """Bars that stand for lines of text, of 55 to 100 % of the width."""
    left, top, right, bottom = box
    for i, length in enumerate(lengths):
        y = top + i * pitch
        if y + pitch > bottom or right <= left:
            return
        draw.rectangle((left, y + 0.3 * pitch, left + (0.55 + 0.45 * length) * (right - left), y + 0.7 * pitch), ink)


def _between(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _shrunk(photo: Image.Image, share: float) -> Image.Image:
    """Scaled so that a page of which it fills `share` has `PAGE_AREA` of the photo's area."""
    scale = min(1.0, math.sqrt(PAGE_AREA * share))
    return photo.resize(
        (max(1, round(scale * photo.width)), max(1, round(scale * photo.height))), Image.Resampling.BILINEAR
    )
