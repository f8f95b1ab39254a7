"""A set whose images are small copies, decoded once: for networks of small inputs that are trained many times over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.dataset import Dataset
from training.data.pixel_cache import cached_pixels
from training.data.square_input import square_input
from training.sources.layouts import Entry
from training.sources.source import Source


@dataclass(frozen=True)
class SmallCopies:
    """A source whose `image` is the copy; its files are as they were, so that networks are evaluated as serving would
    feed them."""

    source: Source
    places: tuple[int, ...]  # of the copies among the source's entries
    pixels: NDArray[np.uint8]  # (N, H, W, 3)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self.source.entries[place] for place in self.places)

    @property
    def classes(self) -> frozenset[str]:
        return self.source.classes

    @property
    def strays(self) -> tuple[tuple[str, str], ...]:
        return self.source.strays

    @property
    def finds_near_identical(self) -> bool:
        return self.source.finds_near_identical

    def read(self, index: int) -> bytes:
        return self.source.read(self.places[index])

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])

    def digest(self, index: int) -> str:
        return self.source.digest(self.places[index])


def with_small_copies(data: Dataset, side: int, path: Path, *, workers: int) -> Dataset:
    """The same set, whose images, for augmentation, are side × side copies; mapped from the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = cached_pixels(data, square_input(side), path, workers=workers)
    return replace(data, source=SmallCopies(data.source, data.places, pixels), places=tuple(range(len(data))))
