from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from phototriage.images.pixels import ImageLimits, decode
from tests.drawings import write_folder, write_tar
from training.data.loading import DataError, load
from training.sources.pixel_tables import FASHION_MNIST_LABELS

# Two images of 2 rows and 3 columns; labels 7 and 2.
IMAGES = bytes.fromhex("00000803 00000002 00000002 00000003") + bytes([0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255])
LABELS = bytes.fromhex("00000801 00000002") + bytes([7, 2])
# One image, 9 everywhere but in its corner; label 2.
TEST_IMAGES = bytes.fromhex("00000803 00000001 00000002 00000003") + bytes([9, 9, 9, 9, 9, 0])
TEST_LABELS = bytes.fromhex("00000801 00000001") + bytes([2])
IDX = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": TEST_IMAGES,
    "t10k-labels-idx1-ubyte": TEST_LABELS,
}
HEADER = "label,pixel1,pixel2,pixel3,pixel4\n"


def test_idx(tmp_path: Path) -> None:
    dataset = load(write_folder(tmp_path / "digits", IDX), val=0, progress=False)
    assert (dataset.name, dataset.labels) == ("digits", ("2", "7"))
    assert {record.key: (record.label, record.split) for record in dataset.records} == {
        "train/0": (1, "train"),
        "train/1": (0, "train"),
        "test/0": (0, "test"),
    }
    place = [record.key for record in dataset.records].index("train/1")
    expected = [[250, 251, 252], [253, 254, 255]]
    assert np.asarray(dataset.image(place)).tolist() == expected
    assert np.asarray(decode(dataset.read(place), ImageLimits())).tolist() == expected


def test_gzipped_idx_beside_the_plain_one(tmp_path: Path) -> None:
    plain = load(write_folder(tmp_path / "plain" / "digits", IDX), progress=False)
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in IDX.items()}
    for files in (zipped, IDX | zipped, {f"raw/{name}": content for name, content in zipped.items()}):
        root = tmp_path / f"{len(files)}{min(files)[:3]}" / "digits"
        assert load(write_folder(root, files), progress=False).records == plain.records


def test_label_names(tmp_path: Path) -> None:
    count = len(FASHION_MNIST_LABELS)
    files = {
        "train-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 1, 1) + bytes(range(count)),
        "train-labels-idx1-ubyte": struct.pack(">II", 0x801, count) + bytes(range(count)),
    }
    root = write_folder(tmp_path / "fashion", files)
    dataset = load(root, label_names=FASHION_MNIST_LABELS, progress=False)
    assert dataset.labels[0] == "t-shirt"
    assert dataset.labels[9] == "ankle boot"
    assert dataset.targets.tolist() == list(range(10))
    with pytest.raises(DataError, match="2 label names were given, so the labels must be 0 to 1; they are 0, 1, 2"):
        load(root, label_names=["a", "b"], progress=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train-images-idx3-ubyte": IMAGES[:-1]}, "announces 12 values, but holds 11"),
        ({"train-images-idx3-ubyte": b"\x00\x00\x0d\x03" + IMAGES[4:]}, "no IDX file of uint8 .* starts 00000d03"),
        ({"train-images-idx3-ubyte": b""}, "no IDX file"),
        ({"train-labels-idx1-ubyte": TEST_LABELS}, "has 2 images, but train-labels-idx1-ubyte 1 labels"),
        ({"train-labels-idx1-ubyte": None}, "has no train-labels-idx1-ubyte beside it"),
        (
            {"train-labels-idx1-ubyte": None, "train-labels-idx1-ubyte.gz": gzip.compress(LABELS)[:-9]},
            "can't be decompressed",
        ),
    ],
)
def test_faulty_idx(tmp_path: Path, changed: dict[str, bytes | None], message: str) -> None:
    files = {name: content for name, content in (IDX | changed).items() if content is not None}
    with pytest.raises(DataError, match=message):
        load(write_folder(tmp_path / "digits", files), progress=False)


def test_csv_of_pixels(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_text(HEADER + "1,0,255,7,9\n0,1,2,3,4\n")
    dataset = load(tmp_path / "tiny.csv", progress=False)
    assert (dataset.name, dataset.labels, dataset.targets.tolist()) == ("tiny", ("0", "1"), [1, 0])
    assert [record.key for record in dataset.records] == ["tiny/0", "tiny/1"]
    assert np.asarray(dataset.image(0)).tolist() == [[0, 255], [7, 9]]


def test_csv_with_names_in_the_last_column_and_colours(tmp_path: Path) -> None:
    columns = ",".join(f"pixel{place}" for place in range(12))
    rows = ",".join(map(str, range(12))) + ",red\n" + ",".join(["5"] * 12) + ",blue\n"
    (tmp_path / "tiny.csv").write_text(f"{columns},Label\n{rows}")
    dataset = load(tmp_path / "tiny.csv", progress=False)
    assert dataset.labels == ("blue", "red")
    image = dataset.image(0)
    assert (image.mode, image.size, image.getpixel((1, 0)), image.getpixel((0, 1))) == (
        "RGB",
        (2, 2),
        (3, 4, 5),
        (6, 7, 8),
    )


def test_csv_of_pixels_with_other_line_ends(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_bytes(("\ufeff" + HEADER + "1,0,255,7,9\n0,1,2,3,4\n").replace("\n", "\r").encode())
    dataset = load(tmp_path / "tiny.csv", progress=False)
    assert [list(dataset.image(index).tobytes()) for index in range(2)] == [[0, 255, 7, 9], [1, 2, 3, 4]]


def test_csv_of_pixels_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_bytes(HEADER.encode() + b"caf\xe9,0,255,7,9\n")
    with pytest.raises(DataError, match=r"tiny\.csv isn't UTF-8"):
        load(tmp_path / "tiny.csv", progress=False)


def test_two_csv_tables_in_an_archive(tmp_path: Path) -> None:
    files = {
        "fashion-mnist_train.csv": (HEADER + "0,1,1,1,2\n1,3,3,3,4\n").encode(),
        "fashion-mnist_test.csv": (HEADER + "1,5,5,5,6\n").encode(),
    }
    packed = load(write_tar(tmp_path / "data.tar.gz", files, "data/"), val=0, progress=False)
    assert {(record.key, record.label, record.split) for record in packed.records} == {
        ("fashion-mnist_train/0", 0, "train"),
        ("fashion-mnist_train/1", 1, "train"),
        ("fashion-mnist_test/0", 1, "test"),
    }
    folder = load(write_folder(tmp_path / "data", files), val=0, progress=False)
    assert (folder.records, folder.sha256) == (packed.records, packed.sha256)


def test_only_equal_pixels_are_duplicates_in_tables(tmp_path: Path) -> None:
    ramp = list(range(0, 160, 10))
    rows = [ramp, ramp, [*ramp[:-1], 151]]
    lines = [f"{label}," + ",".join(map(str, row)) for label, row in zip("010", rows, strict=True)]
    header = "label," + ",".join(f"pixel{place}" for place in range(16))
    (tmp_path / "tiny.csv").write_text("\n".join([header, *lines]))
    dataset = load(tmp_path / "tiny.csv", progress=False)
    assert dataset.near_identical.exact == ((0, 1),)
    assert dataset.near_identical.near == ()
    assert dataset.conflicts() == ((0, 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "no row below its header"),
        (HEADER + "1,0,256,7,9\n", "whole numbers of 0–255"),
        (HEADER + "1,0,-1,7,9\n", "whole numbers of 0–255"),
        (HEADER + "1,0,0.5,7,9\n", "whole numbers of 0–255"),
        (HEADER + "1,0,5,7,9\n1,2\n", "whole numbers of 0–255"),
        (HEADER + "1,0,5\n", "rows of 3 values below a header of 5 columns"),
        ("label,pixel0,pixel1\n1,2,3\n", "2 pixel columns: neither a square nor three times a square"),
        ("label,pixel0,pixel1,name\n1,2,3,x\n", "needs the columns label and pixel0"),
    ],
)
def test_faulty_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tiny.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "tiny.csv", progress=False)
