from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageChops

from benchmarks.kinds.drawn_sets import BLANKS, blanks, drawings, transparent
from benchmarks.kinds.features import as_served
from benchmarks.kinds.image_set import ImageSet
from training.drawings import KINDS

SEED, COUNT = 5, 4


@pytest.fixture(scope="module")
def drawn() -> dict[str, ImageSet]:
    return {one.name: one for one in drawings(COUNT, SEED)}


def test_every_kind_has_all_its_different_pairs_and_three_copies_of_each(drawn: dict[str, ImageSet]) -> None:
    assert set(drawn) == set(KINDS) - {"blank", "transparent art"} | {"across kinds"}
    for name, one in drawn.items():
        if name != "across kinds":
            assert Counter(pair.same for pair in one.pairs) == {False: 6, True: 3 * COUNT}
            assert {pair.kind for pair in one.pairs if pair.same} == {"smaller, JPEG", "everyday"}
            assert all(pair.left < COUNT <= pair.right for pair in one.pairs if pair.same)


def test_across_kinds_all_pairs_are_of_two_kinds(drawn: dict[str, ImageSet]) -> None:
    across = drawn["across kinds"]
    per_kind = len(across.images) // (len(drawn) - 1)
    assert len(set(across.pairs)) == len(across.pairs) == 6
    assert all(not pair.same and pair.left // per_kind != pair.right // per_kind for pair in across.pairs)


def test_a_plain_copy_is_smaller_and_looks_the_same(drawn: dict[str, ImageSet]) -> None:
    logos = drawn["logo"]
    pair = next(pair for pair in logos.pairs if pair.kind == "smaller, JPEG")
    image, copy = logos.images[pair.left], logos.images[pair.right]
    assert copy.size == tuple(round(side * 2 / 3) for side in image.size)
    assert np.asarray(ImageChops.difference(image.resize(copy.size), copy)).mean() < 4


def test_a_seed_gives_the_same_images_and_another_gives_others(drawn: dict[str, ImageSet]) -> None:
    first, again = drawn["slide"], next(one for one in drawings(COUNT, SEED) if one.name == "slide")
    assert first.pairs == again.pairs
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.images, again.images, strict=True))
    other = next(one for one in drawings(COUNT, SEED + 1) if one.name == "slide")
    assert first.images[0].tobytes() != other.images[0].tobytes()


def test_white_drawings_are_transparent_and_their_copies_may_lie_on_a_dark_page() -> None:
    found = transparent(3, SEED)
    assert [image.mode for image in found.images[:3]] == ["RGBA"] * 3
    assert Counter((pair.same, pair.kind) for pair in found.pairs) == {
        (False, "other"): 3,
        (True, "smaller"): 3,
        (True, "on a dark page, JPEG"): 3,
    }
    inks = {colour[:3] for _, colour in found.images[0].getcolors() or [] if isinstance(colour, tuple)}
    assert inks == {(255, 255, 255)}
    dark = found.images[next(pair.right for pair in found.pairs if pair.kind.startswith("on a dark"))]
    assert dark.mode == "RGB"
    assert np.asarray(dark).mean() < 60


def test_blanks_are_all_different_and_show_next_to_nothing() -> None:
    found = blanks(SEED)
    assert (len(found.images), len(found.pairs)) == (BLANKS, 171)
    assert not any(pair.same for pair in found.pairs)
    for a, b in itertools.combinations(found.images, 2):
        assert a.tobytes() != b.tobytes()
    for image in found.images:
        assert np.asarray(image.convert("L"), np.float64).std() < 10


def test_what_is_transparent_is_seen_as_the_service_decodes_it() -> None:
    image = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 10, 10))
    served = as_served(image)
    assert served.mode == "RGB"
    assert served.getpixel((2, 5)) == (200, 0, 0)
    opaque = Image.new("RGB", (20, 10))
    assert as_served(opaque) is opaque
