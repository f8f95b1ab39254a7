"""Labelled pairs of photos to measure an embedder on: reposts of one photo, and different photos that look alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage import duplicates
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from training.data.photos import Photos
from training.pairs.metrics import average_precision, best_f1
from training.reposts.chains import (
    BORDERS,
    EVERYDAY,
    HARD,
    PAGES,
    STICKERS,
    WATERMARKS,
    Rng,
    Steps,
    draw_everyday,
    draw_step,
    repost,
)

NEAREST_BY_FEATURES, NEAREST_BY_HASH = 2, 2
SHARED_PAIRS = 60
HARD_NEGATIVE, EDITED, RANDOM, SHARED = "hard negative", "hard negative, edited", "random", "shared overlay"


@dataclass(frozen=True)
class Shot:
    """A photo, by number, as it was uploaded."""

    photo: int
    steps: Steps = ()

    def of(self, photos: Photos) -> Image.Image:
        return repost(photos.image(self.photo), self.steps)


@dataclass(frozen=True)
class Pair:
    """Two uploads, whether they show one photo, and what was done or how the other was chosen."""

    left: Shot
    right: Shot
    same: bool
    kind: str


class PairSets(NamedTuple):
    everyday: Sequence[Pair]
    hard: Sequence[Pair]


def uploads_of(pairs: Sequence[Pair]) -> list[Shot]:
    """Each upload once."""
    return list(dict.fromkeys(shot for pair in pairs for shot in (pair.left, pair.right)))


def places_of(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """(n, 2): the places of both sides among the uploads."""
    places = {shot: place for place, shot in enumerate(uploads_of(pairs))}
    return np.array([(places[pair.left], places[pair.right]) for pair in pairs])


def similarities_of(
    pairs: Sequence[Pair], uploads: NDArray[np.float32], rescoring: LayoutRescoring | None = None
) -> NDArray[np.float64]:
    """Similarity (n,) of each pair, from the embeddings of all uploads, with their layouts if there is re-scoring."""
    left, right = places_of(pairs).T
    return duplicates.similarities(uploads[left], uploads[right], rescoring)


def validation_figures(
    validation: PairSets, similarities: Callable[[Sequence[Pair]], NDArray[np.float64]]
) -> dict[str, float]:
    """Best F1 and average precision of both sets: everyday_f1, everyday_precision, hard_f1, hard_precision."""
    figures = {}
    for name, pairs in validation._asdict().items():
        values, same = similarities(pairs), np.array([pair.same for pair in pairs])
        figures[f"{name}_f1"] = best_f1(values, same)
        figures[f"{name}_precision"] = average_precision(values, same)
    return figures


def everyday_pairs(numbers: Sequence[int], neighbours: Neighbours, seed: int) -> list[Pair]:
    """Three everyday reposts of each photo; against it four hard negatives, one of these edited, and a random photo;
    and 60 pairs of hard negatives under one watermark or frame."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in numbers:
        kinds = rng.choice(list(EVERYDAY), 3, replace=False)
        pairs += [_same(number, str(kind), EVERYDAY[str(kind)](rng)) for kind in kinds]
        alike = neighbours.of(number)
        pairs += [_different(number, other, HARD_NEGATIVE) for other in alike]
        if alike:
            pairs.append(_different(number, int(rng.choice(alike)), EDITED, draw_everyday(rng)))
        strangers = neighbours.strangers(number)
        if strangers:
            pairs.append(_different(number, int(rng.choice(strangers)), RANDOM))
    families = (WATERMARKS, BORDERS)
    for i, number in enumerate(rng.permutation(list(numbers))[:SHARED_PAIRS]):
        pairs += _under_one(int(number), neighbours, families[i % 2], rng)
    return pairs


def hard_pairs(numbers: Sequence[int], neighbours: Neighbours, seed: int) -> list[Pair]:
    """Two hard reposts of each photo, drawn evenly; against it two hard negatives, and one under the same card, logo or
    watermark."""
    rng = np.random.default_rng(seed)
    pairs = []
    families = (PAGES, STICKERS, WATERMARKS)
    for i, number in enumerate(numbers):
        kinds = rng.choice(list(HARD), 2, replace=False)
        pairs += [_same(number, str(kind), HARD[str(kind)](rng)) for kind in kinds]
        pairs += [_different(number, other, HARD_NEGATIVE) for other in neighbours.of(number, 1, 1)]
        pairs += _under_one(number, neighbours, families[i % len(families)], rng)
    return pairs


def _same(number: int, kind: str, steps: Steps) -> Pair:
    return Pair(Shot(number), Shot(number, steps), True, kind)


def _different(number: int, other: int, kind: str, steps: Steps = ()) -> Pair:
    return Pair(Shot(number), Shot(other, steps), False, kind)


def _under_one(number: int, neighbours: Neighbours, family: tuple[str, ...], rng: Rng) -> list[Pair]:
    """A hard negative that wears the very same overlay; none if there is no hard negative."""
    alike = neighbours.of(number)
    if not alike:
        return []
    worn = (draw_step(rng, family, 0.3, 1),)
    return [Pair(Shot(number, worn), Shot(int(rng.choice(alike)), worn), False, SHARED)]


class Neighbours:
    """For each of `numbers` those of another group, but of the same kind, that look most like it."""

    def __init__(
        self,
        numbers: Sequence[int],
        groups: NDArray[np.int64],
        kinds: Sequence[str],
        features: NDArray[np.float32],
        hashes: NDArray[np.uint64],
    ) -> None:
        """All by place in `numbers`: `features` (n, D) of unit length, `hashes` (n,) dHashes; `kinds` such as room
        types, the same for all where there are none."""
        self._numbers = list(numbers)
        self._place = {number: place for place, number in enumerate(numbers)}
        self._groups, self._kinds = groups, np.asarray(kinds)
        similarity = features @ features.T
        distance = np.bitwise_count(hashes[:, None] ^ hashes[None]).astype(np.float32)
        allowed = self._kinds[:, None] == self._kinds[None]
        allowed &= groups[:, None] != groups[None]
        self._by_features = np.argsort(np.where(allowed, -similarity, np.inf), axis=1, kind="stable")
        self._by_hash = np.argsort(np.where(allowed, distance, np.inf), axis=1, kind="stable")
        self._counts = allowed.sum(1)

    def of(self, number: int, features: int = NEAREST_BY_FEATURES, hashes: int = NEAREST_BY_HASH) -> list[int]:
        """The nearest by features, then the nearest of the rest by dHash."""
        place = self._place[number]
        count = self._counts[place]
        chosen = [int(i) for i in self._by_features[place, : min(features, count)]]
        rest = [int(i) for i in self._by_hash[place, :count] if int(i) not in chosen]
        return [self._numbers[i] for i in chosen + rest[:hashes]]

    def strangers(self, number: int) -> list[int]:
        """All of other groups."""
        own = self._groups[self._place[number]]
        return [other for other, group in zip(self._numbers, self._groups, strict=True) if group != own]


def dhash(image: Image.Image) -> int:
    """64 bits: whether brightness rises from each pixel of 9×8 to the next on its right (difference hash)."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")
