"""Which pictures are the same picture: equal pixels, or re-encoded, resized, slightly recoloured or mirrored.

A 64-bit pHash proposes pairs and the correlation of 32 × 32 thumbnails decides. The limits were chosen by
looking at pairs, plain and mirrored, of four sets (pairs of distance ≤ 10, by their correlation r):

    set                     n   r ≥ .90   r < .90   of those with r ≥ .90
    cats and dogs       8,000         2        30   2 are the same picture; all others have r < .87
    house photos          796         9         0   9 are the same picture
    clocks, crocodiles    850        14        15   9 are the same picture, 5 two clocks of one maker
    Caltech-101         5,608       167       425   of 81 with r ≥ .95, 10 are two motorbikes of one catalogue

Of 300 cats and dogs and 300 house photos, the limits find all that are re-encoded (JPEG, quality 20), halved or
mirrored; of those cropped by 2 % a side 96 and 99 %, by 5 % 12 and 10 %, of those made grey 84 and 53 %. At
r ≥ .95, those cropped by 2 % fall to 63 and 70 %. Joining two different pictures costs little, as both merely go to
one split; missing a pair leaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Indices = NDArray[np.intp]

THUMBNAIL = 32
MAX_DISTANCE_BITS = 10  # of 64
MIN_CORRELATION = 0.9
# Grey levels of 255. Below, a thumbnail is one colour, and both hash and correlation would compare noise.
MIN_CONTRAST = 2.0
_FREQUENCIES = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BLOCK = 128  # rows of the distance matrix at once: 100 MB for 100,000 images
_BATCH = 1024  # pairs of thumbnails compared at once: 25 MB


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a decoded image to compare it with others."""

    pixels: str  # sha256 of size and RGB pixels
    thumbnail: NDArray[np.uint8]  # (32, 32, 3) RGB

    @classmethod
    def of(cls, image: Image.Image) -> Fingerprint:
        """`image`: upright, of mode RGB or L; grey counts as the same picture in either mode."""
        colour = image.convert("RGB")
        digest = hashlib.sha256(f"{colour.size}".encode() + colour.tobytes()).hexdigest()
        small = colour.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        return cls(digest, np.asarray(small))


@dataclass(frozen=True)
class NearIdentical:
    """Indices of images that show the same picture. `near` leaves out what is already in `exact`."""

    exact: tuple[tuple[int, ...], ...]  # sets of equal pixels, each ascending
    near: tuple[tuple[int, int], ...]  # pairs (i, j), i < j

    @property
    def edges(self) -> list[tuple[int, int]]:
        return [(same[0], other) for same in self.exact for other in same[1:]] + list(self.near)


def find_near_identical(prints: Sequence[Fingerprint], *, near: bool) -> NearIdentical:
    """Exact duplicates among `prints`, and near-identical pairs where `near`."""
    by_pixels: dict[str, list[int]] = {}
    for index, print_ in enumerate(prints):
        by_pixels.setdefault(print_.pixels, []).append(index)
    exact = tuple(tuple(same) for same in by_pixels.values() if len(same) > 1)
    if not near or len(by_pixels) < 2:
        return NearIdentical(exact, ())
    # One of each set of equals: a placeholder that occurs a thousand times would give half a million pairs.
    firsts = np.array([same[0] for same in by_pixels.values()])
    pairs = near_pairs(np.stack([prints[index].thumbnail for index in firsts]))
    return NearIdentical(exact, tuple((int(firsts[i]), int(firsts[j])) for i, j in pairs))


def near_pairs(thumbnails: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Near-identical pairs (i, j), i < j, of `thumbnails` (N, 32, 32, 3) uint8 RGB.

    All pairs are compared, in blocks: 30,000 images take about 5 s on one core, and the time grows with the square.
    """
    vectors = thumbnails.reshape(len(thumbnails), -1)
    kept = np.flatnonzero(vectors.std(axis=1) >= MIN_CONTRAST)
    if len(kept) < 2:
        return []
    thumbnails = thumbnails[kept]
    plain, mirrored = _phash(thumbnails)
    found = [
        pair
        for flip, hashes in ((False, plain), (True, mirrored))
        for left, right in _close(plain, hashes)
        for pair in _alike(thumbnails, left, right, flip)
    ]
    return sorted({(int(kept[i]), int(kept[j])) for i, j in found})


def _close(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Batches of i and j, i < j, with few differing bits between left[i] and right[j]."""
    for start in range(0, len(left), _BLOCK):
        distances = np.bitwise_count(left[start : start + _BLOCK, None] ^ right[None, start:])
        i, j = np.nonzero(distances <= MAX_DISTANCE_BITS)
        i, j = i[i < j] + start, j[i < j] + start
        for first in range(0, len(i), _BATCH):
            yield i[first : first + _BATCH], j[first : first + _BATCH]


def _alike(thumbnails: NDArray[np.uint8], left: Indices, right: Indices, flip: bool) -> list[tuple[int, int]]:
    """The pairs whose thumbnails correlate (Pearson's, over all places and colours); `flip` mirrors the right."""
    a = thumbnails[left].astype(np.float32)
    b = thumbnails[right].astype(np.float32)
    if flip:
        b = b[:, :, ::-1]
    a -= a.mean(axis=(1, 2, 3), keepdims=True)
    b -= b.mean(axis=(1, 2, 3), keepdims=True)
    products, squares_a, squares_b = ((x * y).sum(axis=(1, 2, 3)) for x, y in ((a, b), (a, a), (b, b)))
    chosen = products >= MIN_CORRELATION * np.sqrt(squares_a * squares_b)
    return list(zip(left[chosen].tolist(), right[chosen].tolist(), strict=True))


def _phash(thumbnails: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """pHash of each thumbnail and of its mirror image, (N,) uint64 (the DCT hash of Zauner 2010).

    The lowest 8 × 8 of the DCT-II of 32 × 32 grey; a bit is set above the median. The constant term is left
    out of both, as brightness would outweigh all else. Mirroring negates the odd horizontal frequencies.
    """
    place = np.arange(THUMBNAIL)
    basis = np.cos(np.pi / THUMBNAIL * (place + 0.5) * np.arange(_FREQUENCIES)[:, None]).astype(np.float32)
    terms = basis @ (thumbnails @ _LUMA) @ basis.T  # (N, 32, 32) → (N, 8, 8), rows are vertical frequencies
    signs = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    return _bits(terms), _bits(terms * signs)


def _bits(terms: NDArray[np.float32]) -> NDArray[np.uint64]:
    flat = terms.reshape(len(terms), -1)
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]
