"""The everyday and hard pairs of `benchmarks.duplicate_pairs`, as sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.duplicate_pairs import labelled_set, published_backbone
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.pool import CALTECH, HOUSES, Split
from training.data.photos import Photos
from training.pairs.labelled_pairs import Pair, places_of, uploads_of


def pasted(photos: Photos, split: Split, most: int) -> Iterator[ImageSet]:
    """Rooms, then Caltech-101; of at most so many photos each."""
    network = published_backbone()
    for title, names in (("rooms", HOUSES), ("Caltech-101", CALTECH)):
        for difficulty, pairs in labelled_set(photos, names[split], network, limit=most)._asdict().items():
            yield image_set(f"{title}, {difficulty} reposts", pairs, photos)


def image_set(name: str, pairs: Sequence[Pair], photos: Photos) -> ImageSet:
    found = ImageSet(name)
    found.add(*(shot.of(photos) for shot in uploads_of(pairs)))
    for pair, (left, right) in zip(pairs, places_of(pairs).tolist(), strict=True):
        (found.same if pair.same else found.different)(left, right, pair.kind)
    return found
