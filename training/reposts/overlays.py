"""What is drawn over a photo: watermarks, logos, badges.

Every function is a `Distortion`. How many random numbers it draws, and what it does with them, depends neither on
the photo's pixels nor on its size: the same randomness puts the same overlay on any photo of that size.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from training.reposts.lettering import (
    BLACK,
    WHITE,
    Colour,
    name,
    readable_on,
    signature,
    text_tile,
    vivid,
)
from training.reposts.severity import amount, pick

LOGO_AREA = (0.03, 0.2)  # share of the photo
BADGE_AREA = (0.02, 0.15)
_LOGO_SIDE = 160  # pixels of an emblem, before it is scaled to where it goes

Points = tuple[tuple[float, float], ...]


def _star(corners: int, inner: float) -> Points:
    """(x, y) in the unit square, the first point on top; `inner` is the radius of every other point."""
    radii, angles = (0.5, 0.5 * inner), [math.pi * i / corners for i in range(2 * corners)]
    return tuple(
        (0.5 + radii[i % 2] * math.sin(angle), 0.5 - radii[i % 2] * math.cos(angle)) for i, angle in enumerate(angles)
    )


_EMBLEMS: tuple[Points, ...] = (
    _star(30, 1),
    _star(3, 1),
    _star(2, 1),
    _star(5, 0.6),
    _star(12, 0.85),
    ((0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)),
    ((0.0, 0.45), (0.5, 0.0), (1.0, 0.45), (0.85, 0.45), (0.85, 1.0), (0.15, 1.0), (0.15, 0.45)),
    ((0.1, 0.0), (0.9, 0.0), (0.9, 0.55), (0.5, 1.0), (0.1, 0.55)),
)
_BURST = _star(16, 0.85)
_OFFERS = ("SOLD", "NEW", "HOT", "SALE", "TOP", "RENTED", "VIP", "OPEN HOUSE", "PRICE CUT", "BEST\nOFFER", "JUST\nIN")


def text_watermark(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Translucent outlined text, level, aslant or upright, over 40 to 95 % of the width or height."""
    colour = pick((WHITE, WHITE, (200, 200, 200), BLACK, vivid(rng)), rng)
    tile = text_tile(signature(rng), colour, readable_on(colour))
    tile = _turned(tile, pick((0, 0, 0, 20, -20, 35, -35, 90), rng))
    share, opacity = amount(0.4, 0.95, severity, rng), amount(0.35, 0.8, severity, rng)
    return _put(photo, _fitted(tile, photo, share), _place(rng), opacity)


def logo_watermark(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A translucent logo over 25 to 80 % of the width or height; sometimes grey."""
    tile = logo_tile(rng)
    if rng.random() < 0.5:
        tile = tile.convert("LA").convert("RGBA")
    share, opacity = amount(0.25, 0.8, severity, rng), amount(0.4, 0.7, severity, rng)
    return _put(photo, _fitted(tile, photo, share), _place(rng), opacity)


def tiled_watermark(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """A translucent text or logo, 2 to 4 times in a row and row after row."""
    colour = pick((WHITE, WHITE, BLACK, vivid(rng)), rng)
    is_text = rng.random() < 0.7
    tile = text_tile(signature(rng), colour, readable_on(colour)) if is_text else logo_tile(rng)
    tile = _turned(tile, pick((0, 20, -20, 35, -35), rng))
    share, opacity = amount(0.45, 0.25, severity, rng), amount(0.25, 0.65, severity, rng)
    gap, shift = rng.uniform(1.1, 1.3), pick((0.0, 0.5), rng)
    tile = _fitted(tile, photo, share)
    mask, result = _mask(tile, opacity), photo.copy()
    across, down = tile.width * gap, tile.height * gap
    for row in range(math.ceil(photo.height / down)):
        for column in range(-1, math.ceil(photo.width / across)):
            left = round((column + shift * (row % 2) + 0.5) * across)
            result.paste(tile, (left, round(row * down)), mask)
    return result


def logo(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """An opaque logo, bare or on a panel, that takes 3 to 20 % of the area."""
    tile = logo_tile(rng)
    if rng.random() < 0.5:
        tile = _on_panel(tile, pick((WHITE, WHITE, BLACK, vivid(rng)), rng), 0.1, pick((0.0, 0.15), rng))
    area = amount(*LOGO_AREA, severity, rng)
    return _put(photo, _of_area(tile, photo, area), _place(rng))


def badge(photo: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """An opaque SOLD, NEW, -30% and the like, or a band with a number: 2 to 15 % of the area."""
    colour, text, kind = vivid(rng), _offer(rng), pick(("label", "label", "burst", "ribbon", "band"), rng)
    place, angle, corner = _place(rng), pick((0, 0, 0, 10, -10), rng), pick((0.0, 0.5), rng)
    is_first, area = rng.random() < 0.5, amount(*BADGE_AREA, severity, rng)
    if kind == "band":
        contact = text_tile(signature(rng).replace("\n", "  "), readable_on(colour))
        return _band(photo, contact, colour, area, at_top=is_first)
    if kind == "ribbon":
        lettering = text_tile(text.replace("\n", " "), readable_on(colour))
        return _ribbon(photo, lettering, colour, area, at_right=is_first)
    lettering = text_tile(text, readable_on(colour))
    tile = _on_burst(lettering, colour) if kind == "burst" else _on_panel(lettering, colour, 0.4, corner)
    return _put(photo, _of_area(_turned(tile, angle), photo, area), place)


def logo_tile(rng: np.random.Generator) -> Image.Image:
    """An invented logo, RGBA: an emblem with a smaller one in it and letters, with or without a name."""
    outer, inner, who = vivid(rng), pick((WHITE, BLACK, vivid(rng)), rng), name(rng)
    shape, has_inner, depth = pick(_EMBLEMS, rng), rng.random() < 0.6, rng.uniform(0.72, 0.88)
    letters = who[: int(rng.integers(1, 4))].upper()
    emblem = Image.new("RGBA", (2 * _LOGO_SIDE, 2 * _LOGO_SIDE), (*outer, 0))
    draw = ImageDraw.Draw(emblem)
    _fill(draw, shape, 1.0, outer)
    if has_inner:
        _fill(draw, shape, depth, inner)
    lettering = text_tile(letters, outer if has_inner and inner in (WHITE, BLACK) else readable_on(outer))
    lettering = lettering.resize(_size_within(lettering, 0.9 * _LOGO_SIDE, 0.65 * _LOGO_SIDE), Image.Resampling.BICUBIC)
    emblem.paste(lettering, ((emblem.width - lettering.width) // 2, round(0.55 * emblem.height - 40)), lettering)
    emblem = emblem.reduce(2)  # drawn at twice the size: polygons have no smooth edges of their own
    beside = pick((None, "right", "below"), rng)
    return emblem if beside is None else _named(emblem, text_tile(who, outer, readable_on(outer)), beside)


def _named(emblem: Image.Image, label: Image.Image, beside: str) -> Image.Image:
    gap = emblem.width // 12
    if beside == "right":
        label = label.resize(_size_within(label, 2 * emblem.width, emblem.height // 2))
        tile = Image.new("RGBA", (emblem.width + gap + label.width, emblem.height), (0, 0, 0, 0))
        tile.paste(emblem, (0, 0))
        tile.paste(label, (emblem.width + gap, (emblem.height - label.height) // 2))
        return tile
    label = label.resize(_size_within(label, 1.4 * emblem.width, emblem.height // 3))
    width = max(emblem.width, label.width)
    tile = Image.new("RGBA", (width, emblem.height + gap + label.height), (0, 0, 0, 0))
    tile.paste(emblem, ((width - emblem.width) // 2, 0))
    tile.paste(label, ((width - label.width) // 2, emblem.height + gap))
    return tile


def _offer(rng: np.random.Generator) -> str:
    return pick((*_OFFERS, f"-{5 * int(rng.integers(1, 15))}%", f"-{5 * int(rng.integers(1, 15))}%"), rng)


def _fill(draw: ImageDraw.ImageDraw, shape: Points, scale: float, colour: Colour) -> None:
    side = 2 * _LOGO_SIDE
    draw.polygon([((0.5 + scale * (x - 0.5)) * side, (0.5 + scale * (y - 0.5)) * side) for x, y in shape], fill=colour)


def _on_panel(tile: Image.Image, colour: Colour, margin: float, corner: float) -> Image.Image:
    """Centred on a rectangle; margin and corner radius in units of the tile's height."""
    edge = round(margin * tile.height)
    width, height = tile.width + 2 * edge, tile.height + 2 * edge
    panel = Image.new("RGBA", (width, height), (*colour, 0))
    ImageDraw.Draw(panel).rounded_rectangle((0, 0, width - 1, height - 1), corner * height, fill=colour)
    panel.alpha_composite(tile, (edge, edge))
    return panel


def _on_burst(lettering: Image.Image, colour: Colour) -> Image.Image:
    emblem = Image.new("RGBA", (2 * _LOGO_SIDE, 2 * _LOGO_SIDE), (*colour, 0))
    _fill(ImageDraw.Draw(emblem), _BURST, 1.0, colour)
    emblem = emblem.reduce(2)
    lettering = lettering.resize(_size_within(lettering, 0.72 * _LOGO_SIDE, 0.5 * _LOGO_SIDE))
    emblem.alpha_composite(lettering, ((_LOGO_SIDE - lettering.width) // 2, (_LOGO_SIDE - lettering.height) // 2))
    return emblem


def _ribbon(photo: Image.Image, lettering: Image.Image, colour: Colour, area: float, at_right: bool) -> Image.Image:
    """A band across an upper corner, a fifth as high as it is long.

    With its middle (length - height) / √8 from both edges it just spans the corner; 0.16 length² of it are seen.
    """
    length = max(10, round(math.sqrt(area * photo.width * photo.height / 0.16)))
    height = length // 5
    band = Image.new("RGBA", (length, height), (*colour, 255))
    lettering = lettering.resize(_size_within(lettering, 0.55 * length, 0.6 * height))
    band.alpha_composite(lettering, ((length - lettering.width) // 2, (height - lettering.height) // 2))
    band = _turned(band, -45 if at_right else 45)
    middle = (length - height) / math.sqrt(8)
    corner = (round((photo.width - middle if at_right else middle) - band.width / 2), round(middle - band.height / 2))
    result = photo.copy()
    result.paste(band, corner, band)
    return result


def _band(photo: Image.Image, contact: Image.Image, colour: Colour, area: float, at_top: bool) -> Image.Image:
    """A contact over the whole width, at the upper or lower edge."""
    height = max(2, round(area * photo.height))
    result = photo.copy()
    top = 0 if at_top else photo.height - height
    result.paste(colour, (0, top, photo.width, top + height))
    contact = contact.resize(_size_within(contact, 0.9 * photo.width, 0.7 * height))
    corner = ((photo.width - contact.width) // 2, top + (height - contact.height) // 2)
    result.paste(contact, corner, contact)
    return result


def _place(rng: np.random.Generator) -> tuple[float, float]:
    """(x, y) as shares of the room that an overlay leaves: a corner, an edge, the middle or anywhere."""
    anywhere, spots = (rng.random(), rng.random()), (0.03, 0.5, 0.97)
    return pick((anywhere, (pick(spots, rng), pick(spots, rng)), (pick(spots, rng), pick((0.03, 0.97), rng))), rng)


def _turned(tile: Image.Image, degrees: float) -> Image.Image:
    return tile.rotate(degrees, Image.Resampling.BILINEAR, expand=True) if degrees else tile


def _size_within(tile: Image.Image, width: float, height: float) -> tuple[int, int]:
    scale = min(width / tile.width, height / tile.height)
    return max(1, round(scale * tile.width)), max(1, round(scale * tile.height))


def _fitted(tile: Image.Image, photo: Image.Image, share: float) -> Image.Image:
    """Scaled into this share of the photo's width and height."""
    size = _size_within(tile, max(8, share * photo.width), max(8, share * photo.height))
    return tile.resize(size, Image.Resampling.BICUBIC)


def _of_area(tile: Image.Image, photo: Image.Image, area: float) -> Image.Image:
    """Scaled to this share of the photo's area; less where it would not fit."""
    scale = math.sqrt(area * photo.width * photo.height / (tile.width * tile.height))
    size = (min(scale * tile.width, 0.95 * photo.width), min(scale * tile.height, 0.95 * photo.height))
    return tile.resize(_size_within(tile, *size), Image.Resampling.BICUBIC)


def _mask(tile: Image.Image, opacity: float) -> Image.Image:
    return tile.getchannel("A").point([round(opacity * alpha) for alpha in range(256)])


def _put(photo: Image.Image, tile: Image.Image, place: tuple[float, float], opacity: float = 1) -> Image.Image:
    left, top = (round(at * (whole - part)) for at, whole, part in zip(place, photo.size, tile.size, strict=True))
    result = photo.copy()
    result.paste(tile, (left, top), _mask(tile, opacity))
    return result
