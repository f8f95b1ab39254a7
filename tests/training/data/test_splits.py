from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps

from tests.drawings import drawing, encoded, picture, two_classes, write_folder
from training.data.loading import DataError, Dataset, load
from training.data.splits import assign, connect, folds, group_names, groups, share, split_by_hash
from training.sources.layouts import Split


def split_of(dataset: Dataset) -> dict[str, str]:
    return {record.key: record.split for record in dataset.records}


def test_connect() -> None:
    assert connect(6, [(4, 2), (2, 1), (5, 3)]) == [0, 1, 1, 3, 1, 3]
    assert connect(2, []) == [0, 1]


def test_groups_are_called_after_their_smallest_member() -> None:
    assert groups(["d", "b", "c", "a"], [(0, 2), (2, 1)]) == ["b", "b", "b", "a"]


def test_share_is_the_hash_as_a_fraction() -> None:
    # printf split:aa | sha256sum
    assert share("aa", "split") == int("5d8f7c158f9c", 16) / 16**12


def test_split_by_hash() -> None:
    # The first digits of sha256sum as fractions of 1.
    places = {"aa": 0.3655, "bb": 0.4219, "cc": 0.9487, "dd": 0.7889, "ee": 0.0353, "ff": 0.2465}
    for group, place in places.items():
        assert share(group, "split") == pytest.approx(place, abs=5e-5)
        assert split_by_hash(group, val=0.4, test=place + 0.001) == "test"
        assert split_by_hash(group, val=0.002, test=place - 0.001) == "val"
        assert split_by_hash(group, val=0, test=place - 0.001) == "train"


def test_shares_are_met_for_single_images_and_for_large_groups() -> None:
    hashes = [f"{number:064x}" for number in range(20_000)]
    rows = [(first, first + place) for first in range(0, 20_000, 4) for place in range(1, 4)]
    for edges, deviation in (([], 0.01), (rows, 0.02)):  # 4 standard deviations
        found = Counter(assign([None] * 20_000, groups(hashes, edges), val=0.1, test=0.2))
        assert found["test"] == pytest.approx(4000, abs=deviation * 20_000)
        assert found["val"] == pytest.approx(2000, abs=deviation * 20_000)


def test_another_val_leaves_test_alone() -> None:
    hashes = [f"{number:064x}" for number in range(500)]
    small, large = (assign([None] * 500, hashes, val=val, test=0.1) for val in (0.1, 0.3))
    assert [split == "test" for split in small] == [split == "test" for split in large]
    assert all(new == "val" for old, new in zip(small, large, strict=True) if old == "val")


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.5, 0.5), (float("nan"), 0.1)])
def test_impossible_shares(val: float, test: float) -> None:
    with pytest.raises(DataError, match="leave a rest for train"):
        assign([None], ["a"], val=val, test=test)


def test_prescribed_splits() -> None:
    hashes = [f"{number:064x}" for number in range(300)]
    assert assign(["train", "val", "test"], hashes[:3], val=0.4, test=0.4) == ["train", "val", "test"]
    given: list[Split | None] = ["test", *(("train",) * 299)]
    with_test = assign(given, hashes, val=0.4, test=0.4)
    assert Counter(with_test)["test"] == 1
    assert Counter(with_test)["val"] == pytest.approx(0.4 * 299, abs=34)
    assert set(assign(["train"] * 300, hashes, val=0.4, test=0.4)) == {"train", "val", "test"}


def test_folds_keep_groups_and_are_of_about_equal_size() -> None:
    names = [f"{number // 2:064x}" for number in range(4000)]
    numbers = folds(names, 5)
    assert numbers.dtype == np.int64
    assert (numbers[::2] == numbers[1::2]).all()
    assert np.bincount(numbers) == pytest.approx([800] * 5, abs=144)  # 4 standard deviations
    assert folds(names[:10], 5).tolist() == numbers[:10].tolist()
    with pytest.raises(DataError, match="2 folds or more, not 1"):
        folds(names, 1)


def test_group_names() -> None:
    assert group_names(["001_bath.jpg", "001_bed.jpg", "x.jpg"], r"^(\d+)_") == ["001", "001", None]
    assert group_names(["a/12.jpg", "b/12.jpg"], r"\d+") == ["12", "12"]
    with pytest.raises(DataError, match=r"'\(' is no regular expression"):
        group_names(["a"], "(")
    with pytest.raises(DataError, match=r"fits none of 1 names, such as 'a\.jpg'"):
        group_names(["a.jpg"], "z")


def test_names_make_groups(tmp_path: Path) -> None:
    files = {f"{house:03}_{room}.png": picture(10 * house + room) for house in range(30) for room in range(4)}
    dataset = load(
        write_folder(tmp_path / "houses", files), labelled=False, group_by=r"^(\d+)_", val=0.3, progress=False
    )
    for house in range(30):
        rooms = dataset.records[4 * house : 4 * house + 4]
        assert {record.group for record in rooms} == {min(record.sha256 for record in rooms)}
        assert len({record.split for record in rooms}) == 1
    assert len({record.group for record in dataset.records}) == 30


def test_same_pictures_stay_together(tmp_path: Path) -> None:
    files = two_classes(60)
    for number in range(20):
        image = drawing(number)
        files[f"cat/{number}-again.jpg"] = encoded(image, "JPEG", quality=60)
        files[f"cat/{number}-mirrored.png"] = encoded(ImageOps.mirror(image))
        files[f"cat/{number}-half.png"] = encoded(image.resize((32, 24)))
        files[f"cat/{number}-copy.bmp"] = encoded(image, "BMP")
    dataset = load(write_folder(tmp_path / "pets", files), val=0.3, test=0.3, progress=False)
    splits = split_of(dataset)
    for number in range(20):
        variants = ("again.jpg", "mirrored.png", "half.png", "copy.bmp")
        assert {splits[f"cat/{number}-{variant}"] for variant in variants} == {splits[f"cat/{number}.png"]}
    assert len({record.group for record in dataset.records}) == 120
    assert dataset.conflicts() == ()
    numbers = dataset.folds(3)
    by_group = {record.group: fold for record, fold in zip(dataset.records, numbers, strict=True)}
    assert all(by_group[record.group] == fold for record, fold in zip(dataset.records, numbers, strict=True))


def test_splits_are_stable_when_images_are_added(tmp_path: Path) -> None:
    few = load(write_folder(tmp_path / "few", two_classes(30)), progress=False)
    many = load(write_folder(tmp_path / "many", two_classes(90)), progress=False)
    assert split_of(few).items() <= split_of(many).items()
    assert few.sha256 != many.sha256


def test_splits_do_not_depend_on_names(tmp_path: Path) -> None:
    files = two_classes(30)
    renamed = {name.replace("cat/", "tiger/new-"): content for name, content in files.items()}
    old = load(write_folder(tmp_path / "old", files), progress=False)
    new = load(write_folder(tmp_path / "new", renamed), progress=False)
    assert {record.sha256: record.split for record in old.records} == {
        record.sha256: record.split for record in new.records
    }


def test_label_conflicts(tmp_path: Path) -> None:
    files = two_classes(4) | {"dog/wrong.jpg": encoded(drawing(2), "JPEG")}
    dataset = load(write_folder(tmp_path / "pets", files), progress=False)
    assert [[dataset.records[index].key for index in found] for found in dataset.conflicts()] == [
        ["cat/2.png", "dog/wrong.jpg"]
    ]


def test_every_split_needs_every_class(tmp_path: Path) -> None:
    files = {
        "train/a/1.png": picture(1),
        "train/b/2.png": picture(2),
        "val/a/3.png": picture(3),
        "val/b/4.png": picture(4),
        "test/a/5.png": picture(5),
    }
    dataset = load(write_folder(tmp_path / "set", files), progress=False)
    dataset.require_all_classes(["train", "val"])
    with pytest.raises(DataError, match=r"test has no image of b: .* are enough"):
        dataset.require_all_classes()
    nothing = load(write_folder(tmp_path / "pets", two_classes(2)), val=0, test=0, progress=False)
    with pytest.raises(DataError, match="No image of 4 is in val"):
        nothing.require_all_classes()
