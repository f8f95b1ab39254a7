"""A folder to its groups: files in, files out, by the tiny embedder."""

from __future__ import annotations

import csv
import math
import os
import re
from pathlib import Path

import pytest

from phototriage.cli.duplicates import write_groups
from phototriage.common.tables import TableError
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.triage.comparison import TUNED, Thresholds
from tests.drawings import write_folder
from tests.tiny_models import solid

LIMITS = ImageLimits()
RED, REDDISH, GREEN, BLACK = (solid(colour) for colour in [(255, 0, 0), (255, 51, 0), (0, 255, 0), (0, 0, 0)])
GREENISH = solid((51, 255, 0))
HEADER = ["group", "path", "size", "minimum_similarity", "links"]
NEAR = 1.3 / math.sqrt(3 * 0.59)  # cosine of red and reddish, and of green and greenish


@pytest.fixture
def embedder(models: Models) -> Embedder:
    return models.embedder()


def lines(path: Path) -> list[list[str]]:
    """A table's cells; what is written with six decimals has four, since float32 tells the last ones by machine."""
    with path.open(encoding="utf-8", newline="") as file:
        return [[re.sub(r"^(-?\d\.\d{4})\d\d$", to_four, cell) for cell in row] for row in csv.reader(file)]


def to_four(match: re.Match[str]) -> str:
    return f"{float(match[0]):.4f}"


def groups_of(
    folder: Path, embedder: Embedder, tmp_path: Path, threshold: float | None = None
) -> tuple[list[list[str]], bool]:
    whole = write_groups(folder, tmp_path / "groups.csv", embedder, Thresholds(threshold), LIMITS)
    assert [path.name for path in tmp_path.glob("groups.csv*")] == ["groups.csv"]
    return lines(tmp_path / "groups.csv"), whole


def test_groups_of_a_folder(embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"b/red.PNG": RED, "a/green.jpg": GREEN, "z.webp": GREENISH, "a/red, too.png": RED, "c.png": REDDISH}
    folder = write_folder(tmp_path / "photos", {**files, "black.png": BLACK})
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert whole
    assert rows == [
        HEADER,
        ["1", "a/green.jpg", "2", f"{NEAR:.4f}", ""],
        ["1", "z.webp", "2", f"{NEAR:.4f}", ""],
        ["2", "a/red, too.png", "3", f"{NEAR:.4f}", ""],
        ["2", "b/red.PNG", "3", f"{NEAR:.4f}", ""],
        ["2", "c.png", "3", f"{NEAR:.4f}", ""],
    ]
    output = capsys.readouterr()
    assert output.out.endswith("groups.csv: groups: 2, with 5 of 6 images\n")
    assert output.err.startswith("6 of 6 images, ")
    assert output.err.endswith(" images/s, 0:00 min left\n")


def test_the_callers_threshold_takes_the_tuned_ones_place(embedder: Embedder, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "2.png": RED, "3.png": REDDISH, "4.png": BLACK})
    assert [row[1] for row in groups_of(folder, embedder, tmp_path, 0.98)[0][1:]] == ["1.png", "2.png"]
    # Reddish is (.5, −.3, −.5) from grey, black (−.5, −.5, −.5).
    least = 0.15 / math.sqrt(0.75 * 0.59)
    assert groups_of(folder, embedder, tmp_path, 0.2)[0][1][2:] == ["4", f"{least:.4f}", ""]


def test_a_folder_without_duplicates_gives_an_empty_table(embedder: Embedder, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "2.png": GREEN})
    assert groups_of(folder, embedder, tmp_path) == ([HEADER], True)


def test_unreadable_files_are_told_and_the_rest_is_grouped(
    embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "cut.png": RED[:-40], "note.jpg": b"hi", "2.png": RED})
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert not whole
    assert [row[:2] for row in rows[1:]] == [["1", "1.png"], ["1", "2.png"]]
    errors = capsys.readouterr().err.splitlines()[1:]
    assert [line.partition(": The")[0] for line in errors] == [
        f"phototriage: {folder / name}" for name in ("cut.png", "note.jpg")
    ]


def test_only_unreadable_files(embedder: Embedder, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", {"cut.png": b""})
    assert groups_of(folder, embedder, tmp_path) == ([HEADER], False)


def test_hidden_files_other_suffixes_and_linked_folders_are_left_out(embedder: Embedder, tmp_path: Path) -> None:
    hidden = {".1.png": RED, ".cache/2.png": RED, "3.txt": RED, "png": RED, "4.png/5.png": RED}
    folder = write_folder(tmp_path / "photos", {**hidden, "6.tiff": RED})
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert whole
    assert [row[1] for row in rows[1:]] == ["4.png/5.png", "6.tiff"]


def test_what_is_passed_over_is_told(embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "2.png": RED, "a/3.cr3": RED, "notes.txt": b"", "b": b""})
    (folder / "round").symlink_to(folder, target_is_directory=True)
    assert groups_of(folder, embedder, tmp_path)[1]
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [
        "phototriage: passed over, not called as images are: 3 files (1 .cr3, 1 .txt, 1 without a suffix)",
        "phototriage: passed over, links to folders: 1",
    ]
    (only_others := tmp_path / "others").mkdir()
    (only_others / "3.cr3").write_bytes(RED)
    with pytest.raises(TableError, match="holds no images"):
        write_groups(only_others, tmp_path / "o.csv", embedder, TUNED, LIMITS)
    assert "1 files (1 .cr3)" in capsys.readouterr().err


def test_what_is_called_as_images_are_and_is_none_is_told(
    embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "2.png": RED})
    (folder / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert not whole
    assert [row[1] for row in rows[1:]] == ["1.png", "2.png"]
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"phototriage: {folder}/dangling.png: It is a link to what isn't there. Take it away, or mend it.",
        f"phototriage: {folder}/pipe.png: It is no file but a folder, a pipe, a socket or a device. Take it away, or "
        "name another.",
    ]


def test_other_names_of_a_file_are_no_copies_of_it(
    embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "photos", {"b/red.png": RED, "copy.png": RED, "green.png": GREEN})
    (folder / "a, link.png").symlink_to("b/red.png")
    (folder / "hard.png").hardlink_to(folder / "b/red.png")
    (folder / "z.png").symlink_to(folder / "green.png")
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert whole
    assert rows == [
        HEADER,
        ["1", "b/red.png", "2", "1.0000", '["a, link.png", "hard.png"]'],
        ["1", "copy.png", "2", "1.0000", ""],
    ]
    output = capsys.readouterr()
    assert output.out.endswith("groups: 1, with 2 of 3 images\n")
    assert output.err.splitlines()[:3] == [
        f"phototriage: {folder}/a, link.png: another name of {folder}/b/red.png, and no copy",
        f"phototriage: {folder}/hard.png: another name of {folder}/b/red.png, and no copy",
        f"phototriage: {folder}/z.png: another name of {folder}/green.png, and no copy",
    ]


def test_a_name_that_is_no_text_is_written_escaped(
    embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, os.fsdecode(b"caf\xe9.png"): RED})
    (folder / os.fsdecode(b"\xff.png")).symlink_to("1.png")
    rows, _ = groups_of(folder, embedder, tmp_path)
    assert [(row[1], row[4]) for row in rows[1:]] == [("1.png", r'["\\xff.png"]'), (r"caf\xe9.png", "")]
    assert rf"{folder}/\xff.png: another name" in capsys.readouterr().err


def test_groups_are_the_same_bytes_each_time_across_batches(
    embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phototriage.scoring.image_files.BATCH", 3)
    colours = [solid((level, 0, 40 * (level % 3))) for level in range(130, 256, 12)]
    folder = write_folder(tmp_path / "photos", {f"{i:02}.png": data for i, data in enumerate(colours)})
    first = groups_of(folder, embedder, tmp_path)[0]
    assert groups_of(folder, embedder, tmp_path)[0] == first
    assert len(first) > 4


def test_what_can_not_be_grouped(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="missing is no folder"):
        write_groups(tmp_path / "missing", tmp_path / "o.csv", embedder, TUNED, LIMITS)
    with pytest.raises(TableError, match=r"holds no images: no file ends in \.avif, \.bmp"):
        write_groups(tmp_path, tmp_path / "o.csv", embedder, TUNED, LIMITS)
    folder = write_folder(tmp_path / "photos", {"1.png": RED})
    with pytest.raises(TableError, match="there is no folder"):
        write_groups(folder, tmp_path / "no" / "o.csv", embedder, TUNED, LIMITS)
    with pytest.raises(TableError, match="is a folder"):
        write_groups(folder, tmp_path, embedder, TUNED, LIMITS)
