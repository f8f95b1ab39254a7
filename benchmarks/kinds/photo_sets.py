"""Sets of photos: products on white, cut to half, bursts, turned, edited as UKBench was, and on a ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.kinds.edits import TURNS, UKBENCH, Edit, copied, cut, everyday
from benchmarks.kinds.grounds import Ground, on_page, on_phone
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.pool import Pool, Source, has_white_border

HALF = 0.5
# These train the shipped embedder, which is to its advantage. None of the held-out classes is like them: makes of
# motorbikes and watches photographed by a seller; cars that one camera saw in one street, and cats on one shoot.
TRAINED_PRODUCTS = ("Motorbikes", "watch")
TRAINED_SUBJECTS = ("car_side", "Leopards")
MOVES = (0.05, 0.1, 0.2, 0.3, 0.4)  # of a window's side
_SMALL = {"a fifth": 0.2, "a twentieth": 0.05}
# How much of it a photo fills. What is wider than high can't fill half of an upright screen, and is as wide as that.
GROUNDS: Mapping[str, tuple[Ground, Mapping[str, float]]] = {
    "plain page": (on_page, {"a half": 0.5, **_SMALL}),
    "phone's screen": (on_phone, {"full width": 0.5, **_SMALL}),
}
SAME_GROUND = "same ground"


def products(pool: Pool, count: int, seed: int) -> Iterator[ImageSet]:
    """Different things of one class, each before white, and copies."""
    yield _products(
        "things on white", [source for source in pool.caltech() if has_white_border(source.image)], count, seed
    )
    trained = [source for source in pool.trained(TRAINED_PRODUCTS) if has_white_border(source.image)]
    yield _products("motorbikes, watches on white (trained on)", trained, count, seed)


def _products(name: str, sources: Sequence[Source], count: int, seed: int) -> ImageSet:
    found = ImageSet(name)
    places = found.add(*(source.image for source in sources))
    found.all_different(places, [source.kind for source in sources], count * (count - 1), seed)
    for place in places[: 2 * count]:
        image, rng = found.images[place], np.random.default_rng((seed, 21, place))
        found.add_copy(place, copied(image), "smaller, JPEG")
        found.add_copy(place, everyday(image, rng), "everyday")
    return found


def halves(pool: Pool, count: int, seed: int) -> Iterator[ImageSet]:
    """A part of half of the area against the photo, and against others of its class or type of room."""
    parts: Mapping[str, list[Source]] = {
        "cut to half, rooms of one type": pool.houses(2 * count),
        "cut to half, things of one class": pool.caltech(2 * count),
        "cut to half, one street or shoot (trained on)": pool.trained(TRAINED_SUBJECTS, 2 * count),
    }
    for name, sources in parts.items():
        found = ImageSet(name)
        originals = found.add(*(source.image for source in sources))
        rng = np.random.default_rng((seed, 22))
        parts_of = found.add(*(cut(source.image, HALF, rng) for source in sources))
        kinds = [source.kind for source in sources]
        found.copies_against_others(originals, parts_of, "half", kinds, count * (count - 1), seed)
        yield found


def bursts(pool: Pool, count: int, seed: int) -> ImageSet:
    """Windows of one photo that were moved over it are the same photo; windows of others of its type are not."""
    found = ImageSet("windows moved over a room")
    sources, rng = pool.houses(2 * count), np.random.default_rng((seed, 23))
    firsts = []
    for source in sources:
        width, height = (int(side / (1 + MOVES[-1])) for side in source.image.size)
        first = found.add(source.image.crop((0, 0, width, height)))[0]
        firsts.append(first)
        for move in MOVES:
            across, down = [(1, 0), (0, 1), (1, 1)][int(rng.integers(3))]
            left, top = round(across * move * width), round(down * move * height)
            moved = source.image.crop((left, top, left + width, top + height))
            found.add_copy(first, moved, f"moved by {move:.0%}")
    found.all_different(firsts, [source.kind for source in sources], count * (count - 1), seed)
    return found


def turned(pool: Pool, count: int, seed: int) -> ImageSet:
    return _edited("turned", TURNS, pool.both(2 * count), count * (count - 1) // 2, seed)


def ukbench(pool: Pool, count: int, seed: int) -> ImageSet:
    """Five plain edits, as imagededup's benchmark makes them of UKBench's photos."""
    return _edited("UKBench's five edits", UKBENCH, pool.both(2 * count), count * (count - 1), seed)


def _edited(name: str, edits: Mapping[str, Edit], sources: Sequence[Source], most: int, seed: int) -> ImageSet:
    found = ImageSet(name)
    originals = found.add(*(source.image for source in sources))
    for number, (kind, edit) in enumerate(edits.items()):
        rng = np.random.default_rng((seed, 24, number))
        copies = found.add(*(edit(source.image, rng) for source in sources))
        found.copies_against_others(originals, copies, kind, most=most, seed=seed + number)
    return found


def grounds(pool: Pool, count: int, seed: int) -> Iterator[ImageSet]:
    """A photo against itself and others on a ground, and two photos on one ground, which differ."""
    sources = pool.both(2 * count)
    for title, (ground, shares) in GROUNDS.items():
        for name, share in shares.items():
            found = ImageSet(f"{title}, {name}")
            originals = found.add(*(source.image for source in sources))
            laid: list[int] = []
            others: list[int] = []
            for number, source in enumerate(sources):
                other = sources[(number + 1) % len(sources)]
                for kept, image in ((laid, source.image), (others, other.image)):
                    kept += found.add(ground(image, share, np.random.default_rng((seed, 25, number))))
            found.copies_against_others(originals, laid, "on a ground", None, count * (count - 1) // 2, seed)
            for left, right in zip(laid, others, strict=True):
                found.different(left, right, SAME_GROUND)
            yield found
