"""Pairs as pictures: a sample of every set on one sheet, and the worst mistakes of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.kinds.figures import Decided
from benchmarks.kinds.image_set import ImageSet, PlacePair
from training.reposts.lettering import font

CELL, GAP, LABEL = 132, 4, 18  # pixels
SAME, DIFFERENT = 4, 3  # pairs of a set on the sheet
WORST = 5  # of each sort of mistake
GROUND, PAPER, INK = (150, 150, 150), (252, 252, 252), (20, 20, 20)  # GROUND is under what is transparent


def sample(given: ImageSet) -> Image.Image:
    """A row: a few copies, of different kinds where there are, and a few different pairs."""
    chosen = []
    for same, count in ((True, SAME), (False, DIFFERENT)):
        pairs = [pair for pair in given.pairs if pair.same == same]
        firsts = list({pair.kind: pair for pair in reversed(pairs)}.values())[::-1]
        spread = (
            [pairs[i] for i in np.linspace(0, len(pairs) - 1, SAME + DIFFERENT).round().astype(int)] if pairs else []
        )
        chosen += list(dict.fromkeys([*firsts, *spread]))[:count]
    return row(given, chosen, [f"{'same' if pair.same else 'different'}: {pair.kind}" for pair in chosen], given.name)


def row(given: ImageSet, pairs: Sequence[PlacePair], captions: Sequence[str], title: str) -> Image.Image:
    """Pairs side by side under their captions."""
    width = max(1, SAME + DIFFERENT, len(pairs)) * (2 * CELL + 3 * GAP)
    picture = Image.new("RGB", (width, CELL + 2 * LABEL + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 0), title, INK, font(15))
    for number, (pair, caption) in enumerate(zip(pairs, captions, strict=True)):
        left = number * (2 * CELL + 3 * GAP) + GAP
        draw.text((left, LABEL + 2), caption, INK, font(11))
        for side, place in enumerate((pair.left, pair.right)):
            picture.paste(_cell(given.images[place]), (left + side * (CELL + 1), 2 * LABEL))
    return picture


def _cell(image: Image.Image) -> Image.Image:
    """CELL pixels square, the image in the middle."""
    cell = Image.new("RGB", (CELL, CELL), (228, 232, 240))
    small = image.copy()
    small.thumbnail((CELL, CELL))
    if small.mode == "RGBA":
        ground = Image.new("RGB", small.size, GROUND)
        ground.paste(small, mask=small.getchannel("A"))
        small = ground
    cell.paste(small, ((CELL - small.width) // 2, (CELL - small.height) // 2))
    return cell


def stacked(rows: Sequence[Image.Image]) -> Image.Image:
    """Below one another."""
    sheet = Image.new("RGB", (max(each.width for each in rows), sum(each.height for each in rows)), PAPER)
    top = 0
    for each in rows:
        sheet.paste(each, (0, top))
        top += each.height
    return sheet


def worst(decided: Decided, decider: str) -> list[int]:
    """Numbers of the pairs that a decider has most wrong: called duplicates with the highest scores, and missed with
    the lowest."""
    scores, called, same = decided.scores[decider], decided.called[decider], decided.same
    false, missed = np.flatnonzero(called & ~same), np.flatnonzero(~called & same)
    by_score = [false[np.argsort(-scores[false], kind="stable")], missed[np.argsort(scores[missed], kind="stable")]]
    return [int(number) for numbers in by_score for number in numbers[:WORST]]


def save_mistakes(given: ImageSet, decided: Decided, deciders: Sequence[str], folder: Path) -> None:
    """A picture for each decider that has a pair wrong."""
    for decider in deciders:
        numbers = worst(decided, decider)
        if numbers:
            pairs = [decided.pairs[number] for number in numbers]
            captions = [
                f"{'missed' if pair.same else 'false'} {decided.scores[decider][number]:.3f}: {pair.kind}"
                for number, pair in zip(numbers, pairs, strict=True)
            ]
            name = "".join(letter if letter.isalnum() else "_" for letter in f"{given.name} {decider}")
            row(given, pairs, captions, f"{given.name}, {decider}").save(folder / f"{name}.png")
