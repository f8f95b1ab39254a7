"""Pairs of images whose answer is known, as signatures: reposts of a photo or a drawn image, and others like it."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.images.transparency import on_ground
from phototriage.verification import signature
from training.data.photos import Photos
from training.drawings import KINDS, draw, draw_set
from training.drawings.kinds import TEMPLATES
from training.pairs.labelled_pairs import Neighbours, Pair, Shot, dhash, everyday_pairs, hard_pairs
from training.reposts.chains import Rng, draw_everyday, repost

TURNS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
)
PAGES = (2.0, 5.0, 10.0)  # times the photo's area
MOVED, LEAST_MOVE, MOST_MOVE = 0.7, 0.05, 0.3  # side of a part of a photo, and how far it moves, in the photo's sides
COPY_SIDE, COPY_QUALITY = 2 / 3, 45
FRAMES = ("document", "slide", "receipt", "form", "chat", "code")
SHARES, LEAST_FOUND = (0.06, 0.5), 0.15  # of a drawing's area, that a photo in it fills; from here on it is found again
STRANGERS = 3  # of a drawn image, of any template
IN_A_SET = 16
NOT_DRAWN = frozenset({"blank"})  # nothing to compare: such images get another answer


class SignedPair(NamedTuple):
    """Two encoded signatures, whether they are of one image, the kind of pair, and a group: pairs of one photo have the
    same."""

    left: bytes
    right: bytes
    same: bool
    kind: str
    group: str


def signed(image: Image.Image) -> bytes:
    """The signature of an RGB image."""
    return signature.encode(image)


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs of the photos `numbers`, whose `neighbours` are those that look most like them."""

    photos: Photos
    numbers: Sequence[int]
    neighbours: Neighbours
    seed: int

    def __iter__(self) -> Iterator[SignedPair]:
        yield from self._labelled("everyday", everyday_pairs(self.numbers, self.neighbours, self.seed))
        yield from self._labelled("hard", hard_pairs(self.numbers, self.neighbours, self.seed + 1))
        for number in self.numbers[::2]:
            rng = np.random.default_rng((self.seed, 2, number))
            alike = self.neighbours.of(number)
            other = int(rng.choice(alike)) if alike else None
            yield from self._turned(number, other, rng)
            yield from self._on_a_page(number, other, rng)
            yield from self._in_a_drawing(number, other, rng)
            yield self._moved(number, rng)

    def _labelled(self, kind: str, pairs: Sequence[Pair]) -> Iterator[SignedPair]:
        known: dict[Shot, bytes] = {}
        for pair in pairs:
            for shot in (pair.left, pair.right):
                if shot not in known:
                    known[shot] = signed(shot.of(self.photos))
            yield SignedPair(known[pair.left], known[pair.right], pair.same, kind, self._group(pair.left.photo))

    def _turned(self, number: int, other: int | None, rng: Rng) -> Iterator[SignedPair]:
        photo, group = self.photos.image(number), self._group(number)
        turns = [TURNS[int(place)] for place in rng.permutation(len(TURNS))[:2]]
        copies = [photo.transpose(turns[0]), repost(photo.transpose(turns[1]), draw_everyday(rng))]
        for copy in copies:
            yield SignedPair(signed(photo), signed(copy), True, "turned", group)
        if other is not None:
            turned = self.photos.image(other).transpose(turns[0])
            yield SignedPair(signed(photo), signed(turned), False, "turned", group)

    def _on_a_page(self, number: int, other: int | None, rng: Rng) -> Iterator[SignedPair]:
        photo, group = self.photos.image(number), self._group(number)
        page = _Page.drawn(photo, rng)
        laid, quality = page.under(photo), int(rng.integers(50, 95))
        yield SignedPair(signed(photo), signed(compressed(laid, quality)), True, "on a page", group)
        if other is not None:
            stranger = page.under(self.photos.image(other).resize(photo.size))
            yield SignedPair(signed(laid), signed(stranger), False, "on a page", group)

    def _in_a_drawing(self, number: int, other: int | None, rng: Rng) -> Iterator[SignedPair]:
        """In a document, a chat, a slide: against another photo in its place, against itself, and the whole compressed
        anew."""
        photo, group = self.photos.image(number), self._group(number)
        kind = FRAMES[int(rng.integers(len(FRAMES)))]
        drawing = draw(kind, int(rng.integers(2**31)), int(rng.integers(2**31)), self.seed)
        share = float(rng.uniform(*SHARES))
        place = rng.random(2)
        page = _pasted(drawing, photo, share, place)
        size = round(page.width * COPY_SIDE), round(page.height * COPY_SIDE)
        reduced = compressed(page.resize(size, Image.Resampling.BICUBIC), COPY_QUALITY)
        yield SignedPair(signed(page), signed(reduced), True, "in a drawing", group)
        if share > LEAST_FOUND:
            yield SignedPair(signed(photo), signed(reduced), True, "in a drawing", group)
        if other is not None:
            stranger = _pasted(drawing, self.photos.image(other).resize(photo.size), share, place)
            yield SignedPair(signed(page), signed(stranger), False, "in a drawing", group)
            yield SignedPair(signed(self.photos.image(other)), signed(reduced), False, "in a drawing", group)

    def _moved(self, number: int, rng: Rng) -> SignedPair:
        """Two overlapping parts of one photo."""
        photo = self.photos.image(number)
        size = np.array(photo.size)
        part = (size * MOVED).astype(int)
        start = rng.random(2) * (size - part)
        move = rng.uniform(LEAST_MOVE, MOST_MOVE) * rng.choice([-1, 1], 2) * np.array([1, rng.random()])
        end = np.clip(start + move * size, 0, size - part)
        left, right = (photo.crop((*place.astype(int), *(place.astype(int) + part))) for place in (start, end))
        return SignedPair(signed(left), signed(compressed(right, 70)), True, "moved", self._group(number))

    def _group(self, number: int) -> str:
        return self.photos.photos[number].group


@dataclass(frozen=True)
class _Page:
    """A one-coloured page, and where on it a photo lies; places are (column, row)."""

    size: tuple[int, int]
    place: tuple[int, int]
    colour: tuple[int, int, int]

    @classmethod
    def drawn(cls, photo: Image.Image, rng: Rng) -> _Page:
        side = np.sqrt(rng.choice(PAGES))
        width, height = (max(length, int(length * side * rng.uniform(0.85, 1.18))) for length in photo.size)
        place = int(rng.integers(width - photo.width + 1)), int(rng.integers(height - photo.height + 1))
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        return cls((width, height), place, (red, green, blue) if rng.random() < 0.6 else (255, 255, 255))

    def under(self, photo: Image.Image) -> Image.Image:
        page = Image.new("RGB", self.size, self.colour)
        page.paste(photo, self.place)
        return page


def _pasted(drawing: Image.Image, photo: Image.Image, share: float, place: NDArray[np.float64]) -> Image.Image:
    """A photo laid on a part of a drawing: a share of its area, if there is room, at a place of (0–1, 0–1)."""
    scale = (share * drawing.width * drawing.height / (photo.width * photo.height)) ** 0.5
    scale = min(scale, drawing.width / photo.width, drawing.height / photo.height)
    small = photo.resize(
        (max(8, int(photo.width * scale)), max(8, int(photo.height * scale))), Image.Resampling.BICUBIC
    )
    free = np.array([drawing.width - small.width, drawing.height - small.height]).clip(0)
    left, top = (int(value) for value in place * free)
    page = drawing.convert("RGB")
    page.paste(small, (left, top))
    return page


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """An RGB image as a JPEG leaves it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def drawn_pairs(sets: int, seed: int) -> Iterator[SignedPair]:
    """Of so many sets of IN_A_SET drawn images of each kind, each set with templates of its own."""
    for number in range(sets):
        yield from _drawn_set(IN_A_SET, seed + number)


def _drawn_set(count: int, seed: int) -> Iterator[SignedPair]:
    """Of each kind: three copies of each image, and others, half of them of the same template."""
    for kind in sorted(KINDS.keys() - NOT_DRAWN):
        images = [on_ground(image) if image.mode == "RGBA" else image for image in draw_set(kind, count, seed)]
        signatures = [signed(image) for image in images]
        for number, image in enumerate(images):
            rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), number))
            size = round(image.width * COPY_SIDE), round(image.height * COPY_SIDE)
            reduced = signed(compressed(image.resize(size, Image.Resampling.BICUBIC), COPY_QUALITY))
            edited = [signed(repost(image, draw_everyday(rng))) for _ in range(2)]
            group = f"{kind} {seed} {number}"
            for copy in (reduced, *edited):
                yield SignedPair(signatures[number], copy, True, kind, group)
            alike = [(number + step * TEMPLATES) % count for step in (1, 2)]
            others = [(alike[0], edited[0]), *((other, reduced) for other in alike)]
            others += [(int(other), reduced) for other in rng.integers(count, size=STRANGERS)]
            for other, copy in others:
                if other != number:
                    yield SignedPair(signatures[other], copy, False, kind, group)


def near_of(
    embeddings: NDArray[np.float32], numbers: Sequence[int], photos: Photos, kinds: Sequence[str]
) -> Neighbours:
    """By embeddings (n, D) of unit length of the photos `numbers`, and by dHash; `kinds` as in Neighbours."""
    hashes = np.array([dhash(photos.image(number)) for number in numbers], np.uint64)
    return Neighbours(numbers, photos.groups[list(numbers)], kinds, embeddings, hashes)
