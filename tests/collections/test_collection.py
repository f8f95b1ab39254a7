"""What a collection answers, whatever keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from phototriage.collection_stores.opening import open_catalogue
from phototriage.collections.collection import MARKED, Collection
from phototriage.common.errors import DeadlineExceeded, MalformedRequest, TooLarge, UnknownPhoto
from phototriage.settings import Settings
from phototriage.triage.comparison import Thresholds
from tests.collections.made import crop, embed, embedder, mirrored, photo
from tests.verification.photos import drawn_photo

MODEL = embedder()


@pytest.fixture(params=["folder", "postgres"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Collection]:
    place = tmp_path / "kept" if request.param == "folder" else request.getfixturevalue("database")
    catalogue = open_catalogue(place, Settings(provider="cpu", threads=6))
    yield catalogue.create("photos", MODEL).collection
    catalogue.close()


@pytest.fixture
def filled(collection: Collection) -> Collection:
    for number in range(4):
        collection.add(MODEL, photo(number), f"photo {number}", (f"n{number}", "all"))
    return collection


def groups(collection: Collection) -> list[list[str]]:
    return [list(ids) for _, _, *ids in collection.store.list_groups(-1, 100, 100).items]


def test_a_copy_is_found_and_others_come_behind_it(filled: Collection) -> None:
    found = filled.query(MODEL, crop(2), top_k=3)
    assert found.is_duplicate
    best, *others = found.matches
    assert (best.id, best.decision, best.verified, best.tags) == ("photo 2", "duplicate", True, ["n2", "all"])
    assert best.evidence is not None
    assert best.evidence.share_of_b < 0.9 < best.evidence.share_of_a
    assert len(others) == 2
    assert not any(each.is_duplicate for each in others)
    assert others[0].similarity >= others[1].similarity


def test_a_new_photo_is_none_of_those_that_are_there(filled: Collection) -> None:
    found = filled.query(MODEL, photo(7))
    assert not found.is_duplicate
    assert len(found.matches) == 4
    assert {each.decision for each in found.matches} == {"not_duplicate"}


def test_an_empty_collection_answers(collection: Collection) -> None:
    assert collection.query(MODEL, photo(0)).matches == []


def test_only_what_is_new_is_added_if_new(filled: Collection) -> None:
    told = filled.add(MODEL, mirrored(1), "copy", if_new=True)
    assert (told.outcome, told.added, told.group) == ("duplicate", False, None)
    assert [each.id for each in told.duplicates] == ["photo 1"]
    assert filled.store.photo("copy") is None
    added = filled.add(MODEL, photo(7), "new", if_new=True)
    assert (added.outcome, added.duplicates) == ("added", [])
    assert filled.store.counts().photos == 5


def test_a_photo_is_itself_where_sums_were_rounded_in_another_order(filled: Collection) -> None:
    """As in a batch, or behind a classifier's first stages."""
    for moved, outcome in ((2e-5, "unchanged"), (2e-3, "replaced")):
        vector = photo(1).vector.copy()
        vector[0] += np.float32(moved)
        assert filled.add(MODEL, replace(photo(1), vector=vector), "photo 1").outcome == outcome


def test_a_photo_is_itself_and_not_its_own_duplicate(filled: Collection) -> None:
    again = filled.add(MODEL, photo(1), "photo 1", ("other",), if_new=True)
    assert (again.outcome, again.added, again.duplicates) == ("unchanged", False, [])
    kept = filled.photo("photo 1")
    assert kept.tags == ("other",)
    assert filled.query(MODEL, photo(1), own="photo 1").is_duplicate is False


def test_another_photo_of_the_id_replaces_it(filled: Collection) -> None:
    old = filled.photo("photo 1")
    told = filled.add(MODEL, photo(8), "photo 1")
    assert told.outcome == "replaced"
    kept = filled.photo("photo 1")
    assert kept.row > old.row
    assert not filled.query(MODEL, crop(1)).is_duplicate
    assert filled.query(MODEL, crop(8)).matches[0].id == "photo 1"
    assert filled.store.counts().photos == 4


def test_copies_of_one_photo_are_a_group(filled: Collection) -> None:
    assert groups(filled) == []
    first = filled.add(MODEL, crop(2), "crop")
    second = filled.add(MODEL, mirrored(2), "mirrored")
    assert first.group == second.group == str(filled.photo("photo 2").group)
    assert groups(filled) == [["photo 2", "crop", "mirrored"]]
    filled.delete("photo 2")
    assert groups(filled) == [["crop", "mirrored"]]


def test_what_is_marked_is_no_duplicate_any_more(filled: Collection) -> None:
    filled.add(MODEL, crop(2), "crop")
    assert filled.mark("crop", "photo 2")
    assert not filled.mark("photo 2", "crop")  # known
    assert groups(filled) == []
    found = filled.query(MODEL, crop(2), own="crop")
    assert (found.is_duplicate, found.matches[0].id, found.matches[0].reason) == (False, "photo 2", MARKED)
    # It is remembered of the id, whatever photo that has.
    assert filled.add(MODEL, mirrored(2), "crop", if_new=True).outcome == "replaced"
    # A third copy is in one group with neither, since not all of a group would be duplicates of one another … but one.
    third = filled.add(MODEL, crop(2), "third")
    assert {each.id for each in third.duplicates} == {"crop", "photo 2"}
    assert groups(filled) in ([["photo 2", "third"]], [["crop", "third"]])
    assert filled.unmark("crop", "photo 2")
    assert not filled.unmark("crop", "photo 2")
    assert filled.query(MODEL, crop(2), own="crop").is_duplicate


def test_the_founder_of_a_group_stays_in_it(filled: Collection) -> None:
    filled.add(MODEL, crop(2), "crop")
    filled.add(MODEL, photo(9), "photo 2")  # the founder's id has another photo
    filled.add(MODEL, mirrored(2), "mirrored")
    assert groups(filled) == [["crop", "mirrored"]]
    filled.mark("mirrored", "crop")
    assert groups(filled) == []


def test_only_photos_with_all_tags_are_compared(filled: Collection) -> None:
    assert [each.id for each in filled.query(MODEL, crop(2), tags=["n1", "all"]).matches] == ["photo 1"]
    assert filled.query(MODEL, crop(2), tags=["n2"]).is_duplicate
    assert filled.query(MODEL, crop(2), tags=["n1", "n2"]).matches == []
    assert filled.query(MODEL, crop(2), tags=["none"]).matches == []


def test_a_threshold_of_the_similarity_decides_alone(filled: Collection) -> None:
    found = filled.query(MODEL, photo(7), thresholds=Thresholds(similarity=-1))
    assert len([each for each in found.matches if each.is_duplicate]) == 4
    assert not any(each.verified for each in found.matches)
    unsigned = replace(photo(2), signature=None)
    alone = filled.query(MODEL, unsigned)
    assert (alone.is_duplicate, alone.matches[0].verified) == (True, False)


def test_a_full_collection_takes_no_more_but_replaces(filled: Collection) -> None:
    with pytest.raises(TooLarge, match="has 4 photos, and the limit is 4"):
        filled.add(MODEL, photo(7), "new", most=4)
    assert filled.add(MODEL, photo(7), "photo 1", most=4).outcome == "replaced"


def test_what_is_not_there_is_said(filled: Collection) -> None:
    with pytest.raises(UnknownPhoto, match="'nobody'"):
        filled.delete("nobody")
    with pytest.raises(UnknownPhoto, match="'nobody'"):
        filled.mark("photo 1", "nobody")
    with pytest.raises(MalformedRequest, match="a duplicate of itself"):
        filled.mark("photo 1", "photo 1")


def test_it_ends_by_the_deadline(filled: Collection) -> None:
    with pytest.raises(DeadlineExceeded):
        filled.add(MODEL, photo(7), "new", deadline=monotonic() - 1)
    with pytest.raises(DeadlineExceeded):
        filled.query(MODEL, crop(2), deadline=monotonic() - 1)


def test_of_many_who_bring_the_same_photo_one_is_told_that_it_is_new(collection: Collection) -> None:
    """By as many threads, and whichever is first: each photo is in once."""
    brought = [(number, turn) for turn in range(4) for number in range(3)]

    def bring(what: tuple[int, int]) -> str:
        number, turn = what
        image = photo(number) if turn % 2 else mirrored(number)
        return collection.add(MODEL, image, f"{number} by {turn}", if_new=True).outcome

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(bring, brought))
    assert sorted(outcomes) == ["added"] * 3 + ["duplicate"] * 9
    assert collection.store.counts().photos == 3


def test_many_copies_of_a_photo_hide_no_other(filled: Collection) -> None:
    """What a photo has in common with copies of one is no background."""
    pixels = drawn_photo(1)
    small, image = embed(np.ascontiguousarray(pixels[60:180, 80:240])), photo(2)  # whose similarity is .58
    founder, other = filled.photo("photo 2"), filled.photo("photo 1")
    same = [(replace(other, id=f"same {number}"), "same") for number in range(45)]
    filled.store.load(same, {"same": other.group})
    assert filled.query(MODEL, small).is_duplicate
    assert filled.query(MODEL, small, tags=["all"]).is_duplicate
    copies = [(replace(founder, id=f"copy {number}", tags=()), "copies") for number in range(45)]
    filled.store.load(copies, {"copies": founder.group})
    everywhere = filled.query(MODEL, image, top_k=46)
    assert all(each.is_duplicate for each in everywhere.matches)
    for number in range(3):
        filled.mark(f"copy {number}", "photo 2")
    others = filled.query(MODEL, image, own="photo 2", top_k=10)
    assert others.is_duplicate
    assert not {each.id for each in others.matches if each.is_duplicate} & {"copy 0", "copy 1", "copy 2"}


def test_a_photo_joins_no_group_with_one_that_it_is_marked_against(filled: Collection) -> None:
    founder = filled.photo("photo 2")
    copies = [(replace(founder, id=f"copy {number}", tags=()), "copies") for number in range(70)]
    filled.store.load(copies, {"copies": founder.group})
    filled.add(MODEL, mirrored(2), "x")
    assert filled.mark("x", "copy 69")  # far behind those that it was compared with
    filled.add(MODEL, crop(2), "x")
    assert filled.photo("x").group != founder.group
