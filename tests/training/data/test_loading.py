from __future__ import annotations

import hashlib
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from phototriage.images.pixels import ImageLimits
from tests.drawings import drawing, encoded, picture, two_classes, write_folder, write_tar
from training.data.loading import DataError, Dataset, NoClassesError, load
from training.sources.layouts import Split


def keys(dataset: Dataset, split: Split | None = None) -> list[str]:
    return [record.key for record in dataset.records if split in (None, record.split)]


def test_folder_of_classes(tmp_path: Path) -> None:
    files = two_classes(3)
    dataset = load(write_folder(tmp_path / "pets", files), progress=False)
    assert (dataset.name, dataset.labels, dataset.unreadable) == ("pets", ("cat", "dog"), ())
    assert keys(dataset) == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png", "dog/2.png"]
    assert dataset.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert [dataset.read(index) for index in range(6)] == list(files.values())
    assert dataset.image(4).tobytes() == drawing(1001).tobytes()


def test_hashes_are_those_of_the_bytes(tmp_path: Path) -> None:
    files = {"a/1.png": picture(1), "b/2.png": picture(2)}
    dataset = load(write_folder(tmp_path / "set", files), progress=False)
    contents = [hashlib.sha256(files[key]).hexdigest() for key in ("a/1.png", "b/2.png")]
    assert [record.sha256 for record in dataset.records] == contents
    lines = f"a/1.png\0a\0{contents[0]}\nb/2.png\0b\0{contents[1]}\n"
    assert dataset.sha256 == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("file", ["pets.tar", "pets.tar.gz", "pets.tgz"])
@pytest.mark.parametrize("lead", ["", "./", "pets/", "./a/b/"])
def test_tar_equals_folder(tmp_path: Path, file: str, lead: str) -> None:
    folder = load(write_folder(tmp_path / "pets", two_classes(20)), progress=False)
    packed = load(write_tar(tmp_path / file, two_classes(20), lead), progress=False)
    assert packed.records == folder.records
    assert (packed.name, packed.sha256) == (folder.name, folder.sha256)
    assert packed.read(7) == folder.read(7)


def test_tar_is_read_by_threads_and_after_pickling(tmp_path: Path) -> None:
    files = two_classes(10)
    dataset = load(write_tar(tmp_path / "pets.tar", files), progress=False)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(dataset.read, list(range(20)) * 5)) == list(files.values()) * 5
    assert pickle.loads(pickle.dumps(dataset)).read(13) == dataset.read(13)  # noqa: S301 - our own


def test_clutter_links_and_strays(tmp_path: Path) -> None:
    files = two_classes(2) | {
        "__MACOSX/cat/._0.png": b"x",
        "cat/.DS_Store": b"x",
        "dog/Thumbs.db": b"x",
        "README.txt": b"hello",
        "loose.png": picture(5),
    }
    path = write_tar(tmp_path / "pets.tar", files)
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    dataset = load(path, progress=False)
    assert keys(dataset) == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    assert dict(dataset.unreadable) == {
        "README.txt": "not an image format that is read, by its name",
        "cat/link.png": "a link or a special file, which has no content in a tar",
        "loose.png": "lies outside a class folder",
    }


def test_later_tar_member_replaces_an_earlier_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "pets.tar", two_classes(1))
    with tarfile.open(path, "a") as tar:
        (tmp_path / "new.png").write_bytes(picture(9))
        tar.add(tmp_path / "new.png", "cat/0.png")
    assert load(path, progress=False).read(0) == picture(9)


def test_linked_folder_is_not_followed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets", two_classes(1))
    (root / "ring").symlink_to(root, target_is_directory=True)
    assert load(root, progress=False).unreadable == (("ring", "a link to a folder, which isn't followed"),)


def test_split_folders_are_honoured(tmp_path: Path) -> None:
    names = {"train": "train", "valid": "val", "Test": "test"}
    places = [(folder, label, number) for folder in names for label in "ab" for number in range(4)]
    files = {f"{'/'.join(map(str, place))}.png": picture(seed) for seed, place in enumerate(places)}
    dataset = load(write_folder(tmp_path / "set", files), progress=False)
    assert dataset.labels == ("a", "b")
    assert all(record.split == names[record.key.split("/")[0]] for record in dataset.records)
    assert dataset.counts() == {"train": 8, "val": 8, "test": 8}


def test_missing_splits_are_cut_from_train_alone(tmp_path: Path) -> None:
    files = {f"train/{name}": content for name, content in two_classes(40).items()}
    files |= {f"val/{label}/x.png": picture(seed) for label, seed in (("cat", 90_001), ("dog", 90_002))}
    dataset = load(write_folder(tmp_path / "set", files), val=0.3, test=0.3, progress=False)
    assert keys(dataset, "val") == ["val/cat/x.png", "val/dog/x.png"]
    assert 10 < dataset.counts()["test"] < 40  # 24 of 80 are expected, give or take 4
    assert all(key.startswith("train/") for key in keys(dataset, "test"))


def test_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    files = {"test/1.png": picture(1), "exam/2.png": picture(2)}
    assert load(write_folder(tmp_path / "set", files), progress=False).labels == ("exam", "test")


def test_flat_folder_serves_models_without_classes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "houses.tar", {f"houses/{n}.png": picture(n) for n in range(3)})
    dataset = load(path, labelled=False, progress=False)
    assert (dataset.labels, keys(dataset)) == ((), ["0.png", "1.png", "2.png"])
    assert dataset.targets.tolist() == [-1, -1, -1]
    with pytest.raises(NoClassesError, match=r"3 images lie in the one folder houses: .* two classes or more"):
        load(path, progress=False)


def test_classes_are_ignored_on_request_but_not_split_folders(tmp_path: Path) -> None:
    files = {"train/a/1.png": picture(1), "val/b/2.png": picture(2), "test/3.png": picture(3)}
    dataset = load(write_folder(tmp_path / "set", files), labelled=False, progress=False)
    assert [(record.label, record.split) for record in dataset.records] == [
        (-1, "test"),
        (-1, "train"),
        (-1, "val"),
    ]


def test_unreadable_images_are_listed_with_reasons(tmp_path: Path) -> None:
    whole = encoded(drawing(50), "JPEG")
    files = two_classes(2) | {
        "cat/cut.jpg": whole[:-100],
        "cat/empty.png": b"",
        "dog/text.png": b"no picture",
        "dog/big.png": encoded(drawing(51, (200, 200))),
    }
    path = write_folder(tmp_path / "set", files)
    dataset = load(path, limits=ImageLimits(max_bytes=10**6, max_pixels=10_000), progress=False)
    assert len(dataset) == 4
    reasons = dict(dataset.unreadable)
    assert list(reasons) == ["cat/cut.jpg", "cat/empty.png", "dog/big.png", "dog/text.png"]
    assert "truncated" in reasons["cat/cut.jpg"]
    assert "40000" in reasons["dog/big.png"]


def test_large_file_is_refused_unread(tmp_path: Path) -> None:
    files = two_classes(1) | {"dog/long.png": picture(1) + bytes(20_000)}
    path = write_tar(tmp_path / "set.tar", files)
    dataset = load(path, limits=ImageLimits(max_bytes=20_000), progress=False)
    assert "over the limit of 20,000" in dict(dataset.unreadable)["dog/long.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"cat/notes.txt": b"x"}, "no image among 1 files"),
        ({"cat/1.png": b"x", "dog/2.png": b"x"}, "None of 2 images can be read"),
        ({"cat/1.png": picture(1), "dog/2.png": b"x"}, "dog: no readable image. Add images"),
        ({"train/cat/1.png": picture(1), "val/cat/2.png": picture(2)}, "the one class cat"),
    ],
)
def test_sets_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write_folder(tmp_path / "set", files), progress=False)


def test_empty_class_folder(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", two_classes(1))
    (root / "horse").mkdir()
    with pytest.raises(DataError, match="horse: no readable image"):
        load(root, progress=False)


def test_missing_and_foreign_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="doesn't exist"):
        load(tmp_path / "nowhere", progress=False)
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"set.zip is neither a folder nor a .tar"):
        load(tmp_path / "set.zip", progress=False)


@pytest.mark.parametrize(("name", "action"), [("a.tar", "read as a tar"), ("a.tar.gz", "decompressed")])
def test_broken_archives(tmp_path: Path, name: str, action: str) -> None:
    (tmp_path / name).write_bytes(b"\x01" * 2000)
    with pytest.raises(DataError, match=f"{name} can't be {action}"):
        load(tmp_path / name, progress=False)


def test_cut_gzip(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar.gz", two_classes(3))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match="can't be decompressed"):
        load(path, progress=False)


def test_compressed_tar_must_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.sources.files.COMPRESSED_TAR_LIMIT_BYTES", 5000)
    with pytest.raises(DataError, match=r"over 5,000 bytes, which must fit in memory\. Run gunzip"):
        load(write_tar(tmp_path / "a.tar.gz", two_classes(3)), progress=False)


def test_table_of_paths(tmp_path: Path) -> None:
    write_folder(tmp_path, {f"photos/{n}.png": picture(n) for n in range(5)})
    (tmp_path / "list.csv").write_text(
        "path,label,split,group\n"
        "photos/0.png,sea,train,\n"
        "photos/1.png,sea,validation,\n"
        "photos/2.png,hill,test,\n"
        "photos/3.png,hill,,walk\n"
        "photos/4.png,sea,,walk\n"
        "photos/gone.png,sea,,\n"
    )
    dataset = load(tmp_path / "list.csv", progress=False)
    assert (dataset.name, dataset.labels) == ("list", ("hill", "sea"))
    assert dataset.targets.tolist() == [1, 1, 0, 0, 1]
    assert [record.split for record in dataset.records[:3]] == ["train", "val", "test"]
    assert dataset.records[3].group == dataset.records[4].group
    assert dataset.unreadable == (("photos/gone.png", "The file can't be read: No such file or directory."),)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label\n", "no row"),
        ("file,class\na.png,x\n", "It needs path,label"),
        ("path,label\na.png,x\na.png,y\n", "line 3: a.png is listed twice"),
        ("path,label\na.png,\n", "line 2: label and path can't be empty"),
        ("path,label,split\na.png,x,dev\n", "line 2: split is 'dev'; use train, val, test"),
        ("", "list.csv is empty"),
        ("path;label\na.png;x\n", "separated by semicolons. Save it with commas"),
        ("path,path,label\na.png,b.png,x\n", "2 columns 'path'"),
        ("path,label,label\na.png,x,y\n", "2 columns 'label'"),
        ("path,label,split,split\na.png,x,val,test\n", "2 columns 'split'"),
        ("path,label\na, b.png,x\n", "line 2 has 3 cells, and there are 2 columns"),
        ('path,label\na.png,x\n"b.png,x\n', "no CSV table from line 3 on"),
        ("path,label\na.png,x\n3\0.png,a\n", "line 3 holds a NUL character"),
    ],
)
def test_faulty_tables(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "list.csv", progress=False)


def test_table_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path,label\ncaf\xe9.png,x\n")
    with pytest.raises(DataError, match=r"list\.csv, line 2 isn't UTF-8"):
        load(tmp_path / "list.csv", progress=False)


def test_impossible_path_in_a_table(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": picture(1), "2.png": picture(2)})
    name = "3" * 300 + ".png"
    (tmp_path / "list.csv").write_text(f"path,label\n1.png,a\n2.png,b\n{name},a\n")
    assert load(tmp_path / "list.csv", progress=False).unreadable == (
        (name, "The file can't be read: File name too long."),
    )


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfpath, label\r\n1.png, a\r\n2.png, b\r\n", b"path,label\r1.png,a\r2.png,b\r"]
)
def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path, content: bytes) -> None:
    write_folder(tmp_path, {"1.png": picture(1), "2.png": picture(2)})
    (tmp_path / "list.csv").write_bytes(content)
    dataset = load(tmp_path / "list.csv", progress=False)
    assert [(record.key, dataset.labels[record.label]) for record in dataset.records] == [
        ("1.png", "a"),
        ("2.png", "b"),
    ]


def test_table_without_labels(tmp_path: Path) -> None:
    write_folder(tmp_path, {"1.png": picture(1)})
    (tmp_path / "list.csv").write_text("path\n1.png\n")
    assert load(tmp_path / "list.csv", labelled=False, progress=False).targets.tolist() == [-1]
    with pytest.raises(NoClassesError, match="no column called label"):
        load(tmp_path / "list.csv", progress=False)


def test_progress_is_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(write_folder(tmp_path / "pets", two_classes(2)))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("pets: read 4 of 4 images, ")
