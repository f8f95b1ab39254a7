"""The photos that sets are made of, of one split: held-out ones, and some whose classes train the shipped embedder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.duplicate_pairs import KIND_BY, SetName, numbers_of
from training.data.photos import Photos
from training.data.splits import group_names

Split = Literal["val", "test"]

HOUSES: dict[Split, SetName] = {"val": "tune", "test": "test"}
CALTECH: dict[Split, SetName] = {"val": "caltech-tune", "test": "caltech"}
WHITE, WHITE_BORDER, BORDER = 235, 0.9, 3  # grey level, share of the border's pixels, pixels


class Source(NamedTuple):
    """A photo, and its class or type of room."""

    image: Image.Image
    kind: str


class Pool:
    """Photos in an order drawn from a seed."""

    def __init__(self, photos: Photos, split: Split, seed: int) -> None:
        self.photos, self.split, self._seed = photos, split, seed
        self._groups = photos.groups

    def houses(self, count: int | None = None) -> list[Source]:
        """One of each group of near-identical ones, as of `caltech`."""
        return self._drawn(self._ungrouped(numbers_of(self.photos, HOUSES[self.split])), count)

    def caltech(self, count: int | None = None) -> list[Source]:
        return self._drawn(self._ungrouped(numbers_of(self.photos, CALTECH[self.split])), count)

    def both(self, count: int) -> list[Source]:
        """Half of them houses."""
        houses = self.houses(count // 2)
        return houses + self.caltech(count - len(houses))

    def trained(self, classes: Sequence[str], count: int | None = None) -> list[Source]:
        """Of Caltech classes that train the shipped embedder: every other photo validates, the rest tests. Groups don't
        count here: those among motorbikes are other machines of one catalogue, which are the hardest to tell apart."""
        keys = re.compile(rf"^caltech101/({'|'.join(classes)})/")
        numbers = [number for number in self.photos.numbers("train") if keys.search(self.photos.photos[number].key)]
        return self._drawn(numbers[0 if self.split == "val" else 1 :: 2], count)

    def _ordered(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        order: NDArray[np.int64] = np.random.default_rng((self._seed, len(numbers))).permutation(list(numbers))
        return order

    def _ungrouped(self, numbers: Sequence[int]) -> list[int]:
        order = self._ordered(numbers)
        _, firsts = np.unique(self._groups[order], return_index=True)
        return [int(number) for number in order[firsts]]

    def _drawn(self, numbers: Sequence[int], count: int | None) -> list[Source]:
        chosen = self._ordered(numbers)[:count]
        kinds = group_names([self.photos.photos[number].key for number in chosen], KIND_BY)
        return [Source(self.photos.image(int(number)), kind or "") for number, kind in zip(chosen, kinds, strict=True)]


def has_white_border(image: Image.Image) -> bool:
    grey = np.asarray(image.convert("L"))
    edges = (grey[:BORDER], grey[-BORDER:], grey[:, :BORDER], grey[:, -BORDER:])
    return bool((np.concatenate([edge.ravel() for edge in edges]) >= WHITE).mean() >= WHITE_BORDER)
