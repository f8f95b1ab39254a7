"""Images of one kind, and pairs of them that are or aren't copies of one image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

COPY, OTHER = "copy", "other"


class PlacePair(NamedTuple):
    """Two images by their places in a set, whether one is a copy of the other, and how, or how it was chosen."""

    left: int
    right: int
    same: bool
    kind: str


@dataclass
class ImageSet:
    """A row of the table. Images are RGB, or RGBA where they are transparent."""

    name: str
    images: list[Image.Image] = field(default_factory=list)
    pairs: list[PlacePair] = field(default_factory=list)

    def add(self, *images: Image.Image) -> list[int]:
        """Places of the new images."""
        start = len(self.images)
        self.images.extend(images)
        return list(range(start, len(self.images)))

    def same(self, left: int, right: int, kind: str = COPY) -> None:
        self.pairs.append(PlacePair(left, right, True, kind))

    def add_copy(self, original: int, image: Image.Image, kind: str = COPY) -> None:
        """A new image that is a copy of that one."""
        self.same(original, self.add(image)[0], kind)

    def different(self, left: int, right: int, kind: str = OTHER) -> None:
        self.pairs.append(PlacePair(left, right, False, kind))

    def all_different(
        self, places: Sequence[int], groups: Sequence[object] | None = None, most: int | None = None, seed: int = 0
    ) -> None:
        """Every pair of these places, where groups are given only those within one; at most `most`, drawn."""
        found = [
            (places[i], places[j])
            for i, j in itertools.combinations(range(len(places)), 2)
            if groups is None or groups[i] == groups[j]
        ]
        for left, right in drawn(found, most, seed):
            self.different(left, right)

    def copies_against_others(
        self,
        originals: Sequence[int],
        copies: Sequence[int],
        kind: str,
        groups: Sequence[object] | None = None,
        most: int | None = None,
        seed: int = 0,
    ) -> None:
        """Each original with its own copy, which has the same number, and with those of others, of its group only
        where groups are given; of these at most `most`, drawn."""
        for left, right in zip(originals, copies, strict=True):
            self.same(left, right, kind)
        found = [
            (originals[i], copies[j])
            for i, j in itertools.permutations(range(len(originals)), 2)
            if groups is None or groups[i] == groups[j]
        ]
        for left, right in drawn(found, most, seed):
            self.different(left, right, kind)


def drawn(pairs: list[tuple[int, int]], most: int | None, seed: int) -> list[tuple[int, int]]:
    """At most so many, in their order."""
    if most is None or len(pairs) <= most:
        return pairs
    chosen = np.random.default_rng((seed, len(pairs))).permutation(len(pairs))[:most]
    return [pairs[number] for number in np.sort(chosen)]
