from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ImageOps

from tests.drawings import drawing, encoded, picture, two_classes, write_folder, write_tar
from training.data.description import describe
from training.data.loading import load, main


def test_description(tmp_path: Path) -> None:
    files = {
        "train/cat/1.png": picture(1),
        "train/cat/2.jpg": encoded(drawing(2, (80, 40)).convert("L"), "JPEG"),
        "train/cat/3.png": encoded(drawing(3, (20, 100))),
        "train/cat/4.png": picture(4),
        "train/cat/5.bmp": encoded(drawing(4), "BMP"),
        "train/cat/6.png": b"broken",
        "train/dog/7.png": picture(7),
        "val/cat/8.png": encoded(ImageOps.mirror(drawing(1))),
        "val/dog/9.png": picture(9),
        "test/cat/10.png": picture(10),
        "test/dog/11.png": encoded(drawing(10), "BMP"),
    }
    found = describe(load(write_folder(tmp_path / "pets", files), progress=False))
    assert (found.name, found.images) == ("pets", 10)
    assert found.classes == {
        "cat": {"train": 5, "val": 1, "test": 1},
        "dog": {"train": 1, "val": 1, "test": 1},
    }
    assert found.splits == {"train": 6, "val": 2, "test": 2}
    assert found.widths == (20, 64, 80)
    assert found.heights == (40, 48, 100)
    assert found.modes == {"RGB": 9, "L": 1}
    assert found.formats == {"PNG": 7, "BMP": 2, "JPEG": 1}
    assert [key for key, _ in found.unreadable] == ["train/cat/6.png"]
    assert found.exact_duplicates == (("test/cat/10.png", "test/dog/11.png"), ("train/cat/4.png", "train/cat/5.bmp"))
    assert found.near_duplicates == (("train/cat/1.png", "val/cat/8.png"),)
    assert found.label_conflicts == (("test/cat/10.png", "test/dog/11.png"),)
    assert found.crossing_splits == (("train/cat/1.png", "val/cat/8.png"),)
    assert (found.groups, found.largest_group) == (7, 2)
    assert found.warnings == (
        "Under 50 images a class: cat (7), dog (3). Figures for these will vary a lot.",
        "1 images have a side under 32 pixels: most models will enlarge them.",
        "1 files are left out as unreadable.",
        "The same picture has different labels: correct them, or remove all but one.",
        "The same picture is in two splits: figures on the later one will flatter the model.",
    )


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"train/{name}": content for name, content in two_classes(2).items()}
    files |= {"val/cat/x.png": picture(80), "val/dog/x.png": picture(81)}
    files |= {"test/cat/x.png": picture(82), "test/dog/x.png": encoded(drawing(80), "BMP")}
    assert main(["describe", str(write_tar(tmp_path / "pets.tar", files))]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("pets: read 8 of 8 images, ")
    lines = out.splitlines()
    assert lines[0].startswith("pets: 8 images, sha256 ")
    assert lines[2:] == [
        "class  images   share  train  val  test",
        "cat         4   50.0%      2    1     1",
        "dog         4   50.0%      2    1     1",
        "all         8  100.0%      4    2     2",
        "",
        "width       64 to 64 pixels, median 64",
        "height      48 to 48 pixels, median 48",
        "colours     RGB 8",
        "formats     PNG 7, BMP 1",
        "groups      7, the largest of 2 images",
        "",
        "unreadable: 0",
        "sets of equal pixels: 1",
        "  test/dog/x.png = val/cat/x.png",
        "near-identical pairs: 0",
        "same picture, different labels: 1",
        "  test/dog/x.png ~ val/cat/x.png",
        "same picture in two splits: 1",
        "  test/dog/x.png ~ val/cat/x.png",
        "warnings: 3",
        "  Under 50 images a class: cat (4), dog (4). Figures for these will vary a lot.",
        "  The same picture has different labels: correct them, or remove all but one.",
        "  The same picture is in two splits: figures on the later one will flatter the model.",
    ]


def test_imbalance_and_missing_classes_are_warned_of(tmp_path: Path) -> None:
    files = {f"cat/{number}.png": picture(number) for number in range(60)} | {"dog/1.png": picture(99)}
    found = describe(load(write_folder(tmp_path / "pets", files), progress=False))
    assert found.warnings[0].startswith("cat has 60.0 times as many images as dog")
    assert any("has no image of dog" in warning for warning in found.warnings)


def test_chained_images_are_warned_of(tmp_path: Path) -> None:
    files = two_classes(50) | {f"cat/copy-{number}.png": encoded(drawing(0, (64, 49 + number))) for number in range(9)}
    found = describe(load(write_folder(tmp_path / "pets", files), progress=False))
    assert found.largest_group == 10
    assert any(warning.startswith("One group holds 10 images") for warning in found.warnings)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    files = two_classes(2) | {f"cat/broken-{number}.png": b"" for number in range(11)}
    text = describe(load(write_folder(tmp_path / "pets", files), progress=False)).as_text()
    assert "unreadable: 11\n" in text
    assert "  … and 3 more\n" in text
    assert "broken-7" not in text.split("broken-6")[1]


def test_flat_sets_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_folder(tmp_path / "houses", {f"{n // 2:03}_{n % 2}.png": picture(n) for n in range(6)})
    assert main(["describe", str(root), "--group-by", r"^(\d+)_", "--val", "0", "--test", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["classes"], found["splits"]) == ({}, {"train": 6, "val": 0, "test": 0})
    assert (found["groups"], found["largest_group"]) == (3, 2)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["cat/1.png", "cat/2.png", "cat/3.png"], "in the one folder cat: there are no classes to tell apart"),
        (["train/cat/1.png", "val/cat/2.png", "test/cat/3.png"], "has the one class cat; a classifier tells two"),
        (["1.png", "2.png", "3.png"], "there are no classes to tell apart"),
    ],
)
def test_one_class_or_none_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], told: str
) -> None:
    root = write_folder(tmp_path / "pets", {name: picture(number) for number, name in enumerate(names)})
    assert main(["describe", str(root), "--json"]) == 0
    first, second, *_ = json.loads(capsys.readouterr().out)["warnings"]
    assert told in first
    assert second == "3 images are few; about 50 are enough to have some in each split."


def test_too_few_images_of_a_class_are_warned_of_with_how_many_are_enough(tmp_path: Path) -> None:
    found = describe(load(write_folder(tmp_path / "pets", two_classes(3)), val=0, progress=False))
    assert "No image of 6 is in val. About 50 images of each class are enough; or sort them" in found.warnings[-1]


def test_names_of_any_bytes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = two_classes(1) | {os.fsdecode(b"cat/\xff.png"): b""}
    assert main(["describe", str(write_tar(tmp_path / "pets.tar", files))]) == 0
    assert "  cat/\\xff.png: " in capsys.readouterr().out


def test_command_line_without_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "training.data", "describe", str(tmp_path / "nowhere")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "The images can't be trained on: " in result.stderr
    assert "torch" not in result.stderr
