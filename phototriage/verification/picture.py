"""What verification saw, as one picture: both photos with the region that they share and the points that match, and
below it that region of one laid over the other's."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from phototriage.verification.agreement import disagreeing, lay_over
from phototriage.verification.evidence import Evidence
from phototriage.verification.panels import (
    GAP,
    GROUND,
    INK,
    LINE_SPACING,
    MUTED,
    TITLE_SIZE,
    Colour,
    Panel,
    arranged,
    font,
    plain,
    shortened,
    show,
    text_width,
    wrapped,
)
from phototriage.verification.placement import Placement, Point, placement_of, upright_affine
from phototriage.verification.signature import Signature

PHOTOS_WIDTH, PHOTOS_HEIGHT = 1400, 480  # pixels, of both photos together, and of each
REGIONS_HEIGHT = 300
NAME_WIDTH = 240  # of a title, in pixels
LEAST_WIDTH = 640  # room for the text
MARGIN = 20
CAPTION_SIZE, WORDS_SIZE = 22, 16
MOST_LINES = 40
FINENESS = 2  # marks are drawn larger by it, and reduced
OUTLINES: Mapping[bool | None, Colour] = {True: (0, 190, 140), False: (225, 35, 35), None: (40, 120, 230)}
DISAGREES, TINT = (225, 35, 35), 0.5
LEAST_CONTENT = 0.005  # of the region that both show
HALO = (20, 24, 28, 160)
VEIL = (*GROUND, 165)  # over what the other photo lacks
LINE_OPACITY, LINE_WIDTH = 220, 1.5
TURN_OF_HUE = 0.382  # of the colour circle, from a line to the next: the golden angle

Matrix = NDArray[np.float64]


class Pair(NamedTuple):
    """Two upright photos, RGB, of any size, and their signatures."""

    left: Image.Image
    right: Image.Image
    a: Signature
    b: Signature


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=2)
    return file.getvalue()


def draw(
    left: Image.Image,
    right: Image.Image,
    a: Signature,
    b: Signature,
    evidence: Evidence | None,
    caption: str = "",
    is_same: bool | None = None,
    names: tuple[str, str] = ("", ""),
) -> Image.Image:
    """RGB, at most 1440 pixels wide, of the photos `left` (A) and `right` (B). The same input gives the same pixels.

    left, right: upright, RGB or L. They may have been reduced, or be the signatures' grey copies: places are those of
    a's and b's height and width. Without evidence it shows the photos alone, and says so. `caption` is set below, in
    larger letters; `names` stand above. The shared region is outlined in green where `is_same` is true, in red where it
    is false, else in blue. What the font lacks, such as Chinese characters, is shown as boxes.
    """
    pair = Pair(left.convert("RGB"), right.convert("RGB"), a, b)
    placement = None if evidence is None else placement_of(a, b, evidence.hypothesis)
    titles = [_title(letter, name, side) for letter, name, side in zip("AB", names, (a, b), strict=True)]
    proportions = [side.width / side.height for side in (a, b)]
    panels = arranged(proportions, titles, PHOTOS_WIDTH, PHOTOS_HEIGHT, MARGIN, MARGIN)
    images = [_resized(photo, panel) for photo, panel in zip((pair.left, pair.right), panels, strict=True)]
    shown = list(zip(panels, images, titles, strict=True))
    if evidence is None or placement is None:
        return _canvas(shown, ["No way was found in which A and B overlap."], plain(caption))
    shown += _regions(pair, evidence, placement, max(panel.bottom for panel in panels) + GAP)
    canvas = _canvas(shown, _texts(evidence, placement, is_same), plain(caption))
    _mark(canvas, panels, pair, placement, OUTLINES[is_same])
    return canvas


def _title(letter: str, name: str, side: Signature) -> str:
    return " · ".join(
        filter(None, (letter, shortened(plain(name), TITLE_SIZE, NAME_WIDTH), f"{side.width} x {side.height}"))
    )


def _resized(photo: Image.Image, panel: Panel) -> Image.Image:
    return photo.resize(panel.size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _texts(evidence: Evidence, placement: Placement, is_same: bool | None) -> list[str]:
    points = len(placement.points_a)
    if evidence.fine.content < LEAST_CONTENT:
        seen = "there is next to nothing to compare"
    else:
        seen = f"correlation {evidence.fine.median:.2f} · {evidence.fine.disagreement:.0%} of what they show disagrees"
    return [
        f"The best way found to lay A over B: {placement.moves}."
        if is_same is False
        else f"From A to B: {placement.words}.",
        (f"{points} matched points" if points else "Laid over as a whole, no matched points")
        + f" · {evidence.share_of_a:.0%} of A lies over {evidence.share_of_b:.0%} of B · {seen}",
    ]


def _canvas(shown: Sequence[tuple[Panel, Image.Image, str]], texts: Sequence[str], caption: str) -> Image.Image:
    """All panels, and the text below them."""
    right = max(max(panel.right, panel.left + text_width(title, TITLE_SIZE)) for panel, _, title in shown)
    width = max(LEAST_WIDTH, right + MARGIN)
    lines = [(CAPTION_SIZE, INK, line) for line in wrapped(caption, CAPTION_SIZE, width - 2 * MARGIN)]
    lines += [(WORDS_SIZE, MUTED, line) for text in texts for line in wrapped(text, WORDS_SIZE, width - 2 * MARGIN)]
    row = max(panel.bottom for panel, _, _ in shown) + GAP
    height = row + sum(round(LINE_SPACING * size) for size, _, _ in lines) + MARGIN
    canvas = Image.new("RGB", (width, height), GROUND)
    for panel, image, title in shown:
        show(canvas, panel, image, title)
    pen = ImageDraw.Draw(canvas)
    for size, colour, line in lines:
        pen.text((MARGIN, row), line, fill=colour, font=font(size))
        row += round(LINE_SPACING * size)
    return canvas


def _mark(canvas: Image.Image, panels: Sequence[Panel], pair: Pair, placement: Placement, outline: Colour) -> None:
    """What the other photo lacks is veiled, what both have is outlined, and matched points are joined."""
    right, bottom = max(panel.right for panel in panels), max(panel.bottom for panel in panels)
    layer = Image.new("RGBA", (FINENESS * (right + MARGIN), FINENESS * (bottom + GAP // 2)), (*GROUND, 0))
    pen = ImageDraw.Draw(layer)
    sides = list(zip(panels, (pair.a, pair.b), strict=True))
    for (panel, side), region in zip(sides, (placement.region_of_a, placement.region_of_b), strict=True):
        box = (panel.left, panel.top, panel.right - 1 / FINENESS, panel.bottom - 1 / FINENESS)
        pen.rectangle([FINENESS * each for each in box], fill=VEIL)
        corners = _on_canvas(region, panel, side)
        pen.polygon(corners, fill=(*GROUND, 0))
        for ink, thickness in ((HALO, 4), ((*outline, 255), 2.5)):
            pen.line([*corners, *corners[:2]], fill=ink, width=round(FINENESS * thickness), joint="curve")
    chosen = spread(placement.points_a, MOST_LINES)
    ends = [
        _on_canvas([points[each] for each in chosen], *side)
        for side, points in zip(sides, (placement.points_a, placement.points_b), strict=True)
    ]
    for number, (start, end) in enumerate(zip(*ends, strict=True)):
        colour = _colour(number)
        pen.line([start, end], fill=(*colour, LINE_OPACITY), width=round(FINENESS * LINE_WIDTH))
        for end_point in (start, end):
            pen.circle(end_point, 3 * FINENESS, fill=(*colour, 255), outline=HALO, width=FINENESS // 2)
    layer = layer.reduce(FINENESS)
    canvas.paste(layer, (0, 0), layer)


def _on_canvas(places: Sequence[Point], panel: Panel, side: Signature) -> list[tuple[float, float]]:
    """(row, column) of a photo → (column, row) of the layer on which marks are drawn."""
    by_row, by_column = panel.height / side.height, panel.width / side.width
    return [(FINENESS * (panel.left + y * by_column), FINENESS * (panel.top + x * by_row)) for x, y in places]


def spread(places: Sequence[Point], most: int) -> list[int]:
    """At most so many of them, by number, each as far from those before it as can be; in order of rows."""
    if len(places) == 0:
        return []
    points = np.array(places)
    chosen = [int(points.sum(axis=1).argmin())]
    distances = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(most, len(points)):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen[-1]], axis=1))
        distances[chosen] = -1
    return sorted(chosen, key=lambda each: places[each])


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(number * TURN_OF_HUE % 1, 0.8, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _regions(pair: Pair, evidence: Evidence, placement: Placement, top: int) -> list[tuple[Panel, Image.Image, str]]:
    """The shared region three times, as it lies in B: A laid over B, B itself, and both, with what disagrees in red."""
    rows, columns = np.array(placement.region_of_b).T
    height, width = max(1e-6, np.ptp(rows)), max(1e-6, np.ptp(columns))
    titles = ["A, laid over B", "The same region of B", "Both at once; red where they disagree"]
    panels = arranged([width / height] * 3, titles, PHOTOS_WIDTH, REGIONS_HEIGHT, MARGIN, top)
    size = panels[0].size
    to_b = np.array([[width / size[0], 0, columns.min()], [0, height / size[1], rows.min()], [0, 0, 1]])
    to_a = np.linalg.inv(upright_affine(pair.a, pair.b, evidence.hypothesis)) @ to_b
    inside = Image.new("L", size)
    corners = np.stack([(columns - columns.min()) / width * size[0], (rows - rows.min()) / height * size[1]], axis=1)
    ImageDraw.Draw(inside).polygon([(x, y) for x, y in (corners - 0.5).tolist()], fill=255)  # pixels' centres
    ground = Image.new("RGB", size, GROUND)
    of_a = Image.composite(_seen(pair.left, _sized(pair.a, pair.left.size) @ to_a, size), ground, inside)
    of_b = Image.composite(_seen(pair.right, _sized(pair.b, pair.right.size) @ to_b, size), ground, inside)
    both = Image.blend(of_a, of_b, 0.5).convert("L").convert("RGB")
    both.paste(DISAGREES, (0, 0), _tint(pair, evidence, to_a, to_b, size))
    return list(zip(panels, (of_a, of_b, both), titles, strict=True))


def _tint(pair: Pair, evidence: Evidence, to_a: Matrix, to_b: Matrix, size: tuple[int, int]) -> Image.Image:
    """Mode L: how far each place is painted over, because A and B disagree there."""
    overlay = lay_over(pair.a, pair.b, evidence.hypothesis)
    if overlay is None:
        return Image.new("L", size)
    mask = Image.fromarray(disagreeing(overlay).astype(np.uint8) * round(255 * TINT))
    side, to_side = (pair.b, to_b) if overlay.into_b else (pair.a, to_a)
    return _seen(mask, _sized(side, mask.size) @ to_side, size)


def _sized(side: Signature, size: tuple[int, int]) -> Matrix:
    """From upright pixels to those of an image of the whole photo of that (width, height)."""
    return np.diag([size[0] / side.width, size[1] / side.height, 1.0])


def _seen(image: Image.Image, matrix: Matrix, size: tuple[int, int]) -> Image.Image:
    """An image of that (width, height), each (column, row) of which shows `matrix` times it of the given image."""
    reduction = max(1.0, float(np.sqrt(abs(np.linalg.det(matrix[:2, :2])))))
    smaller = max(1, round(image.width / reduction)), max(1, round(image.height / reduction))
    if reduction > 1:
        matrix = np.diag([smaller[0] / image.width, smaller[1] / image.height, 1.0]) @ matrix
        image = image.resize(smaller, Image.Resampling.LANCZOS, reducing_gap=2.0)
    beyond = GROUND if image.mode == "RGB" else 0
    numbers = matrix[:2].ravel().tolist()
    return image.transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR, fillcolor=beyond)
