"""The images of a source as one immutable value: labels, records, splits, and content read on demand."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import splits
from training.data.near_identical import NearIdentical
from training.sources.files import DataError
from training.sources.layouts import SPLITS, Split
from training.sources.source import Source

NO_LABEL = -1
# With tenths of the hash space for val and test, a class of so many lacks one of them but once in a hundred times:
# 2 · 0.9⁵⁰ = 0.01.
ENOUGH_IMAGES = 50
_MORE_IMAGES = (
    f"About {ENOUGH_IMAGES} images of each class are enough; or sort them into the folders train, val and test "
    "yourself."
)


@dataclass(frozen=True)
class Record:
    """One readable image."""

    key: str  # its name in the source
    label: int  # place in Dataset.labels, or NO_LABEL
    sha256: str  # of its content
    group: str  # the smallest sha256 of the images that must stay together
    split: Split


@dataclass(frozen=True)
class Dataset:
    """The readable images of a source, in its order. Threads and worker processes may share it."""

    name: str  # base name of the source, never a path
    labels: tuple[str, ...]  # sorted; empty where the images have no classes
    records: tuple[Record, ...]
    unreadable: tuple[tuple[str, str], ...]  # (key, reason)
    near_identical: NearIdentical  # by index into `records`
    source: Source
    places: tuple[int, ...]  # of the records among the source's entries

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int) -> bytes:
        """The bytes of an image file; images that came as pixels are given as PNG."""
        return self.source.read(self.places[index])

    def image(self, index: int) -> Image.Image:
        """The decoded image: upright, of mode RGB or, if it is grey, L."""
        return self.source.image(self.places[index])

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64: the label of each record."""
        return np.array([record.label for record in self.records], np.int64)

    def indices(self, split: Split) -> NDArray[np.int64]:
        """(n,) int64, ascending: the records of a split."""
        return np.array([i for i, record in enumerate(self.records) if record.split == split], np.int64)

    def counts(self) -> dict[str, int]:
        """Images per split."""
        found = Counter(record.split for record in self.records)
        return {split: found[split] for split in SPLITS}

    def folds(self, count: int) -> NDArray[np.int64]:
        """(N,) int64: a fold for each record, for cross-validation; groups stay together."""
        return splits.folds([record.group for record in self.records], count)

    @property
    def sha256(self) -> str:
        """Of keys, labels and content; the same for a folder and its tar, and whatever the splits."""
        names = (*self.labels, "")  # NO_LABEL is the last
        lines = sorted(f"{record.key}\0{names[record.label]}\0{record.sha256}\n" for record in self.records)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def same_pictures(self) -> tuple[tuple[int, ...], ...]:
        """Sets of two records or more that show the same picture, whatever their labels and names."""
        sets: dict[int, list[int]] = {}
        for index, root in enumerate(splits.connect(len(self), self.near_identical.edges)):
            sets.setdefault(root, []).append(index)
        return tuple(tuple(found) for found in sets.values() if len(found) > 1)

    def conflicts(self) -> tuple[tuple[int, ...], ...]:
        """Those of `same_pictures` whose labels differ."""
        return tuple(found for found in self.same_pictures() if len({self.records[index].label for index in found}) > 1)

    def missing_classes(self, rows: Iterable[int]) -> list[str]:
        """Those of which none of these records is."""
        there = {self.records[row].label for row in rows}
        return [name for label, name in enumerate(self.labels) if label not in there]

    def require_images(self) -> None:
        """Raises DataError where there are too few images to train on, or to validate on, whatever they show."""
        train, val = (len(self.indices(split)) for split in ("train", "val"))
        if train < 2 or not val:
            raise DataError(
                f"{self.name} has {train:,} images to train on and {val:,} to validate on; it needs two and one at "
                f"least. About {ENOUGH_IMAGES} images are enough; or sort them into the folders train, val and test "
                "yourself."
            )

    def require_all_classes(self, needed: Iterable[Split] = SPLITS) -> None:
        """Raises DataError where one of the splits `needed` is empty or lacks a class."""
        for split in needed:
            rows = self.indices(split)
            if not len(rows):
                raise DataError(f"No image of {len(self):,} is in {split}. {_MORE_IMAGES}")
            if missing := self.missing_classes(rows):
                raise DataError(
                    f"{split} has no image of {some(missing)}: a class needs at least one in each split. {_MORE_IMAGES}"
                )


def some(names: Sequence[str], limit: int = 5) -> str:
    """A list for a message, cut after `limit` names."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
