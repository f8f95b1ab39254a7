from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.duplicate_pairs import load_all
from benchmarks.kinds.edits import TURNS, UKBENCH, Edit, cut
from benchmarks.kinds.grounds import SCREEN, Ground, on_page, on_phone
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.photo_sets import MOVES, SAME_GROUND, bursts, grounds, halves, products, turned, ukbench
from benchmarks.kinds.pool import Pool, Split, has_white_border
from tests.benchmarks.kinds.photos import CLASSES, HOUSES, OF_A_CLASS, ROOMS, write_sources
from training.data.photos import Photos

SEED, COUNT = 3, 4
PHOTO = Image.fromarray(np.random.default_rng(0).integers(60, 200, (60, 80, 3), np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return load_all(*write_sources(tmp_path_factory.mktemp("sources")), progress=False)


@pytest.fixture(scope="module")
def pool(photos: Photos) -> Pool:
    return Pool(photos, "val", SEED)


def test_splits_share_no_photo(photos: Photos) -> None:
    def contents(split: Split) -> set[bytes]:
        pool = Pool(photos, split, SEED)
        sources = [*pool.houses(), *pool.caltech(), *pool.trained(CLASSES[:4])]
        return {source.image.tobytes() for source in sources}

    val, test = contents("val"), contents("test")
    assert not val & test
    assert len(val) == len(test) == len(HOUSES["val"]) * len(ROOMS) + 2 * OF_A_CLASS + 4 * OF_A_CLASS // 2


def test_products_are_those_on_white_and_differ_within_their_class(pool: Pool) -> None:
    held, trained = products(pool, COUNT, SEED)
    assert Counter(pair.same for pair in held.pairs) == {False: 2, True: 2 * 4}  # a pair of each of two classes
    assert Counter(pair.same for pair in trained.pairs) == {True: 2 * 2}  # one of each of two classes
    for one in (held, trained):
        assert all(has_white_border(one.images[pair.left]) for pair in one.pairs)


def test_a_half_is_a_part_of_its_photo_and_others_are_of_its_class(pool: Pool) -> None:
    rooms, things, _ = halves(pool, COUNT, SEED)
    assert Counter(pair.same for pair in rooms.pairs) == {True: 6, False: 2 * 3 * 2}  # three of each room
    assert sum(pair.same for pair in things.pairs) == 8
    for pair in rooms.pairs:
        if pair.same:
            whole, part = rooms.images[pair.left], rooms.images[pair.right]
            assert part.width * part.height == pytest.approx(whole.width * whole.height / 2, rel=0.03)


def test_windows_overlap_as_far_as_they_say(pool: Pool) -> None:
    found = bursts(pool, COUNT, SEED)
    assert Counter(pair.kind for pair in found.pairs if pair.same) == {f"moved by {move:.0%}": 6 for move in MOVES}
    pair = next(pair for pair in found.pairs if pair.kind == "moved by 40%")
    first, moved = (np.asarray(found.images[place]) for place in (pair.left, pair.right))
    assert first.shape == moved.shape
    assert any(  # across, down, or both
        np.array_equal(first[top:, left:], moved[: len(moved) - top, : moved.shape[1] - left])
        for top in (0, round(0.4 * len(first)))
        for left in (0, round(0.4 * first.shape[1]))
        if top or left
    )


def test_turned_photos_are_found_again_by_turning_back() -> None:
    rng = np.random.default_rng(0)
    assert TURNS["turned by 90°"](PHOTO, rng).rotate(-90, expand=True).tobytes() == PHOTO.tobytes()
    assert TURNS["turned by 180°"](PHOTO, rng).rotate(180).tobytes() == PHOTO.tobytes()
    assert TURNS["upside down"](PHOTO, rng).tobytes() == ImageOps.flip(PHOTO).tobytes()
    mirrored = TURNS["mirrored and turned by 90°"](PHOTO, rng).rotate(-90, expand=True)
    assert mirrored.tobytes() in (ImageOps.mirror(PHOTO).tobytes(), ImageOps.flip(PHOTO).tobytes())


@pytest.mark.parametrize(("make", "edits"), [(turned, TURNS), (ukbench, UKBENCH)])
def test_every_edit_meets_its_photo_and_others(
    pool: Pool, make: Callable[[Pool, int, int], ImageSet], edits: Mapping[str, Edit]
) -> None:
    found = make(pool, COUNT, SEED)
    assert Counter(pair.kind for pair in found.pairs if pair.same) == dict.fromkeys(edits, 8)
    assert {pair.kind for pair in found.pairs if not pair.same} == set(edits)
    assert max(Counter(pair.kind for pair in found.pairs if not pair.same).values()) <= COUNT * (COUNT - 1)


def test_a_cut_keeps_the_proportions() -> None:
    assert cut(PHOTO, 0.25, np.random.default_rng(1)).size == (40, 30)


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_a_page_is_plain_but_for_the_photo(share: float) -> None:
    page = np.asarray(on_page(PHOTO, share, np.random.default_rng(4)))
    colours, counts = np.unique(page.reshape(-1, 3), axis=0, return_counts=True)
    assert counts.max() / counts.sum() == pytest.approx(1 - share, abs=0.02)
    assert colours.shape[0] > 100


@pytest.mark.parametrize("share", [0.2, 0.05])
def test_a_phone_shows_the_photo_at_that_size(share: float) -> None:
    magenta = Image.new("RGB", (80, 60), (255, 0, 255))
    screen = on_phone(magenta, share, np.random.default_rng(4))
    assert screen.size == SCREEN
    assert (np.asarray(screen) == (255, 0, 255)).all(axis=2).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("ground", [on_page, on_phone])
def test_two_photos_have_the_same_ground(ground: Ground) -> None:
    black, white = (
        np.asarray(ground(Image.new("RGB", (80, 60), colour), 0.2, np.random.default_rng(9)))
        for colour in ("black", "white")
    )
    assert (black == white).all(axis=2).mean() == pytest.approx(0.8, abs=0.02)


def test_two_photos_on_one_ground_are_different(pool: Pool) -> None:
    found = list(grounds(pool, COUNT, SEED))
    assert len({one.name for one in found}) == 6
    for one in found:
        assert Counter((pair.same, pair.kind) for pair in one.pairs) == {
            (True, "on a ground"): 8,
            (False, "on a ground"): 6,
            (False, SAME_GROUND): 8,
        }
