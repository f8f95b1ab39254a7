"""Sets of images that are no photos: text and drawings, white on transparency, and images that show next to nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.kinds.edits import copied, everyday, shrunk
from benchmarks.kinds.image_set import ImageSet
from training.drawings import KINDS, draw, draw_set

BLANK, TRANSPARENT = "blank", "transparent art"
BLANKS = 19  # 171 pairs
EVERYDAY_COPIES = 2
DARK = (24, 26, 30)
SPARSE_SIZE = (480, 360)
_SPARSE_PIXELS = 6


def drawings(count: int, seed: int) -> Iterator[ImageSet]:
    """A set of each kind of `training.drawings` but blanks and transparent art, and one across these kinds."""
    across = ImageSet("across kinds")
    kinds = []
    for kind in KINDS:
        if kind in (BLANK, TRANSPARENT):
            continue
        images = draw_set(kind, count, seed)
        yield _with_copies(kind, images, seed)
        few = images[: max(2, count // 6)]
        across.add(*few)
        kinds += [kind] * len(few)
    _pair_kinds(across, kinds, count * (count - 1) // 2, seed)
    yield across


def _with_copies(kind: str, images: list[Image.Image], seed: int) -> ImageSet:
    found = ImageSet(kind)
    places = found.add(*images)
    found.all_different(places)
    for place, image in zip(places, images, strict=True):
        rng = np.random.default_rng((seed, 11, zlib.crc32(kind.encode()), place))
        for copy, how in [(copied(image), "smaller, JPEG")] + [(everyday(image, rng), "everyday")] * EVERYDAY_COPIES:
            found.add_copy(place, copy, how)
    return found


def _pair_kinds(found: ImageSet, kinds: list[str], count: int, seed: int) -> None:
    """Drawn pairs of two images of different kinds."""
    rng = np.random.default_rng((seed, 12))
    known: set[tuple[int, int]] = set()
    most = sum(kinds[i] != kinds[j] for i in range(len(kinds)) for j in range(i))
    while len(known) < min(count, most):
        left, right = sorted(int(place) for place in rng.integers(len(kinds), size=2))
        if kinds[left] != kinds[right]:
            known.add((left, right))
    for left, right in sorted(known):
        found.different(left, right)


def transparent(count: int, seed: int) -> ImageSet:
    """White drawings on transparency. Copies: smaller, still transparent; and laid on a dark page, smaller, as JPEG."""
    found = ImageSet("white on transparency")
    template = next(number for number in range(100) if _is_white(draw(TRANSPARENT, 0, number, seed)))
    places = found.add(*(draw(TRANSPARENT, number, template, seed) for number in range(count)))
    found.all_different(places)
    for place in places:
        image = found.images[place]
        found.add_copy(place, shrunk(image), "smaller")
        page = Image.new("RGB", image.size, DARK)
        page.paste(image, mask=image.getchannel("A"))
        found.add_copy(place, copied(page), "on a dark page, JPEG")
    return found


def _is_white(image: Image.Image) -> bool:
    return image.getpixel((0, 0)) == (255, 255, 255, 0)


def blanks(seed: int) -> ImageSet:
    """Images of which none is a copy of another, and none shows anything: one colour, a faint gradient, noise about one
    grey level, a few pixels."""
    found = ImageSet("blank")
    found.all_different(
        found.add(*(_blank(number, np.random.default_rng((seed, 13, number))) for number in range(BLANKS)))
    )
    return found


def _blank(number: int, rng: np.random.Generator) -> Image.Image:
    width, height = SPARSE_SIZE
    ground = rng.integers(0, 256, 3)
    pixels = np.broadcast_to(ground.astype(np.float64), (height, width, 3)).copy()
    match number % 4:
        case 1:
            ramp = np.linspace(0, rng.uniform(4, 24), height)[:, None, None]
            pixels += ramp if rng.random() < 0.5 else ramp[::-1]
        case 2:
            pixels[:] = ground[0]
            pixels += rng.normal(0, rng.uniform(1, 5), (height, width, 1))
        case 3:
            rows, columns = rng.integers(0, height, _SPARSE_PIXELS), rng.integers(0, width, _SPARSE_PIXELS)
            pixels[rows, columns] = rng.integers(0, 256, (_SPARSE_PIXELS, 3))
    return Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8))
