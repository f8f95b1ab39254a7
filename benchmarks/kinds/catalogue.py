"""All sets of a split, one after another, since they don't fit into memory together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from benchmarks.kinds.drawn_sets import BLANKS, blanks, drawings, transparent
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.pasted_sets import pasted
from benchmarks.kinds.photo_sets import bursts, grounds, halves, products, turned, ukbench
from benchmarks.kinds.pool import Pool, Split
from training.data.photos import Photos

Family = Literal["drawn", "photos", "pasted"]

SEEDS: dict[Split, int] = {"val": 1101, "test": 2202}
PASTED_PHOTOS = 3  # times the count


def image_sets(split: Split, count: int, photos: Photos | None, families: tuple[Family, ...]) -> Iterator[ImageSet]:
    """`count` images of each kind of drawing, and twice as many photos where there are as many; no photos without
    `photos`."""
    seed = SEEDS[split]
    if "drawn" in families:
        yield from drawings(count, seed)
        yield transparent(min(count, BLANKS), seed)
        yield blanks(seed)
    if photos is None:
        return
    pool = Pool(photos, split, seed)
    if "photos" in families:
        yield from products(pool, count, seed)
        yield from halves(pool, count, seed)
        yield bursts(pool, count, seed)
        yield turned(pool, count, seed)
        yield from grounds(pool, count, seed)
        yield ukbench(pool, count, seed)
    if "pasted" in families:
        yield from pasted(photos, split, PASTED_PHOTOS * count)
