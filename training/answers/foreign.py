"""Images that are of none of the classes, where no folder of such is given: drawn ones, and photos in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from training.data.dataset import Dataset
from training.drawings.kinds import KINDS, draw_set

PIECES = 6  # along each side
SIDE = 240  # of a scrambled image, in pixels


def stand_ins(data: Dataset, rows: Sequence[int], count: int, seed: int = 0) -> list[Image.Image]:
    """About `count` images: one half are documents, charts, screens and so on, the other are pieces of two of the
    images `rows`, in random order."""
    each = max(1, count // (2 * len(KINDS)))
    drawn = [on_white(image) for kind in KINDS for image in draw_set(kind, each, seed)]
    rng = np.random.default_rng(seed)
    pairs = rng.choice(np.asarray(rows), (max(1, count // 2), 2))
    return [*drawn, *(scrambled(data.image(int(one)), data.image(int(other)), rng) for one, other in pairs)]


def scrambled(one: Image.Image, other: Image.Image, rng: np.random.Generator) -> Image.Image:
    """PIECES × PIECES pieces, half of each image's, in random order."""
    side = SIDE // PIECES
    pieces = []
    for image in (one, other):
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        tiles = pixels.reshape(PIECES, side, PIECES, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        pieces.append(tiles[rng.permutation(len(tiles))[: len(tiles) // 2]])
    mixed = np.concatenate(pieces)[rng.permutation(PIECES**2)]
    mosaic = mixed.reshape(PIECES, PIECES, side, side, 3).swapaxes(1, 2).reshape(SIDE, SIDE, 3)
    return Image.fromarray(mosaic)


def on_white(image: Image.Image) -> Image.Image:
    """RGB, with white where it is transparent."""
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")
