"""Photos of one source or several, by one number each, for models that need no classes."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.dataset import Dataset
from training.data.loading import load
from training.sources.files import DataError

ENOUGH_PHOTOS = 100  # a tenth to validate on, from which pairs of all kinds can be drawn

Place = Literal["train", "val", "test", "left out"]


@dataclass(frozen=True)
class Photo:
    """One readable photo. `key` starts with its source's name; `group` is shared by near-identical photos."""

    key: str
    group: str
    place: Place
    source: int
    index: int  # in the source


@dataclass(frozen=True)
class Photos:
    """Readable photos of all sources, in their order. Threads and worker processes may share it."""

    sources: tuple[Dataset, ...]
    photos: tuple[Photo, ...]

    def __len__(self) -> int:
        return len(self.photos)

    def image(self, number: int) -> Image.Image:
        """Upright, RGB."""
        photo = self.photos[number]
        return self.sources[photo.source].image(photo.index).convert("RGB")

    def read(self, number: int) -> bytes:
        photo = self.photos[number]
        return self.sources[photo.source].read(photo.index)

    def numbers(self, place: Place) -> list[int]:
        """The photos of a place, ascending."""
        return [number for number, photo in enumerate(self.photos) if photo.place == place]

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) int64: the same number for photos of one group."""
        known: dict[str, int] = {}
        return np.array([known.setdefault(photo.group, len(known)) for photo in self.photos], np.int64)

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """(key, reason) of what was skipped."""
        return [(f"{source.name}/{key}", reason) for source in self.sources for key, reason in source.unreadable]

    @property
    def name(self) -> str:
        return "+".join(source.name for source in self.sources)

    @property
    def sha256(self) -> str:
        """Of all keys and contents, whatever the places."""
        return hashlib.sha256("".join(source.sha256 for source in self.sources).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        return dict(Counter(photo.place for photo in self.photos))


def load_photos(
    paths: Sequence[Path],
    *,
    group_by: str | None = None,
    val_keys: str | None = None,
    leave_out: str | None = None,
    progress: bool = True,
) -> Photos:
    """Read every photo once.

    group_by: as of `training.data.loading.load`. leave_out: photos whose key (`source/…`) matches take no part.
    val_keys: those whose key matches are the validation photos, and all others train; without it the split is by
    content hash. Near-identical photos always go to one place: where one of them is left out, all are.

    Raises DataError for a bad pattern, no photo to train on or fewer than two to validate on.
    """
    sources = tuple(load(path, labelled=False, group_by=group_by, progress=progress) for path in paths)
    if len({source.name for source in sources}) < len(sources):
        raise DataError("Two sources have one name; rename one, since photos are called after their source.")
    held, chosen = _pattern("--leave-out", leave_out), _pattern("--val-keys", val_keys)
    places: dict[str, Place] = {}
    for source in sources:
        for record in source.records:
            key = f"{source.name}/{record.key}"
            place: Place = record.split if val_keys is None else "val" if chosen.search(key) else "train"
            if leave_out is not None and held.search(key):
                place = "left out"
            known = places.get(record.group, place)
            places[record.group] = max(known, place, key=("train", "val", "test", "left out").index)
    photos = tuple(
        Photo(f"{source.name}/{record.key}", record.group, places[record.group], number, index)
        for number, source in enumerate(sources)
        for index, record in enumerate(source.records)
    )
    found = Photos(sources, photos)
    if not found.numbers("train") or len(found.numbers("val")) < 2:
        raise DataError(
            f"An embedder needs photos to train on and two or more to validate on; there are {_told(found)}. "
            f"About {ENOUGH_PHOTOS} photos are enough, of which a tenth validates; or choose those by --val-keys."
        )
    return found


def require_photos(given: argparse.Namespace) -> None:
    """That there are photos to train on, and to validate on, by options of a command. Raises DataError."""
    load_photos(given.data, group_by=given.group_by, val_keys=given.val_keys, leave_out=given.leave_out, progress=False)


def _pattern(option: str, text: str | None) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        raise DataError(f"{option} {text!r} is no regular expression: {error}.") from error


def _told(photos: Photos) -> str:
    return ", ".join(f"{count:,} {place}" for place, count in photos.counts().items()) or "none"
