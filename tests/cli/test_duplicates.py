"""A folder to its groups, a table of pairs to its answers: files in, files out, by the tiny embedder."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.cli.duplicates import write_answers, write_groups
from phototriage.common.tables import TableError
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from tests.drawings import write_folder
from tests.tiny_models import solid

LIMITS = ImageLimits()
RED, REDDISH, GREEN, BLACK = (solid(colour) for colour in [(255, 0, 0), (255, 51, 0), (0, 255, 0), (0, 0, 0)])
GREENISH = solid((51, 255, 0))
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
    whole = write_groups(folder, tmp_path / "groups.csv", embedder, threshold, LIMITS)
    assert [path.name for path in tmp_path.glob("groups.csv*")] == ["groups.csv"]
    return lines(tmp_path / "groups.csv"), whole


def test_groups_of_a_folder(embedder: Embedder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"b/red.PNG": RED, "a/green.jpg": GREEN, "z.webp": GREENISH, "a/red, too.png": RED, "c.png": REDDISH}
    folder = write_folder(tmp_path / "photos", {**files, "black.png": BLACK})
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert whole
    assert rows == [
        ["group", "path", "size", "minimum_similarity"],
        ["1", "a/green.jpg", "2", f"{NEAR:.4f}"],
        ["1", "z.webp", "2", f"{NEAR:.4f}"],
        ["2", "a/red, too.png", "3", f"{NEAR:.4f}"],
        ["2", "b/red.PNG", "3", f"{NEAR:.4f}"],
        ["2", "c.png", "3", f"{NEAR:.4f}"],
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
    assert groups_of(folder, embedder, tmp_path, 0.2)[0][1][2:] == ["4", f"{least:.4f}"]


def test_a_folder_without_duplicates_gives_an_empty_table(embedder: Embedder, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", {"1.png": RED, "2.png": GREEN})
    assert groups_of(folder, embedder, tmp_path) == ([["group", "path", "size", "minimum_similarity"]], True)


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
    assert groups_of(folder, embedder, tmp_path) == ([["group", "path", "size", "minimum_similarity"]], False)


def test_hidden_files_other_suffixes_and_linked_folders_are_left_out(embedder: Embedder, tmp_path: Path) -> None:
    hidden = {".1.png": RED, ".cache/2.png": RED, "3.txt": RED, "png": RED, "4.png/5.png": RED}
    folder = write_folder(tmp_path / "photos", {**hidden, "6.tiff": RED})
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    rows, whole = groups_of(folder, embedder, tmp_path)
    assert whole
    assert [row[1] for row in rows[1:]] == ["4.png/5.png", "6.tiff"]


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
        write_groups(tmp_path / "missing", tmp_path / "o.csv", embedder, None, LIMITS)
    with pytest.raises(TableError, match=r"holds no images: no file ends in \.bmp"):
        write_groups(tmp_path, tmp_path / "o.csv", embedder, None, LIMITS)
    folder = write_folder(tmp_path / "photos", {"1.png": RED})
    with pytest.raises(TableError, match="there is no folder"):
        write_groups(folder, tmp_path / "no" / "o.csv", embedder, None, LIMITS)
    with pytest.raises(TableError, match="is a folder"):
        write_groups(folder, tmp_path, embedder, None, LIMITS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(
        tmp_path / "set", {"r.png": RED, "sub/s.png": REDDISH, "black.png": BLACK, "cut.png": RED[:-40]}
    )


def answers_to(photos: Path, text: str, embedder: Embedder, threshold: float | None = None) -> list[list[str]]:
    (photos / "pairs.csv").write_text(text, encoding="utf-8")
    write_answers(photos / "pairs.csv", photos / "out.csv", embedder, threshold, LIMITS)
    return lines(photos / "out.csv")


def probability(similarity: float) -> str:
    return f"{1 / (1 + math.exp(8 - 10 * similarity)):.4f}"


def test_pairs_are_answered_and_the_other_columns_kept(
    photos: Path, embedder: Embedder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'id,path_b,is_same,path_a,note\n7,sub/s.png,1,r.png,"a, ""b"""\n8,{photos / "black.png"},0,r.png,\n'
    assert answers_to(photos, text, embedder) == [
        ["id", "path_b", "is_same", "path_a", "note", "duplicate", "similarity", "probability", "error"],
        ["7", "sub/s.png", "1", "r.png", 'a, "b"', "1", f"{NEAR:.4f}", probability(NEAR), ""],
        ["8", str(photos / "black.png"), "0", "r.png", "", "0", "0.3333", probability(1 / 3), ""],
    ]
    assert capsys.readouterr().out.endswith("out.csv: pairs: 2, of 3 images; duplicates: 1; errors: 0\n")


def test_pairs_by_the_callers_threshold(photos: Path, embedder: Embedder) -> None:
    rows = answers_to(photos, "path_a,path_b\nr.png,black.png\nr.png,sub/s.png\n", embedder, 0.98)
    assert [row[2] for row in rows[1:]] == ["0", "0"]
    rows = answers_to(photos, "path_a,path_b\nr.png,black.png\n", embedder, 0.0)
    assert rows[1][2:4] == ["1", "0.3333"]


def test_each_image_is_embedded_once(photos: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embed = embedder.embed

    def count(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(len(images))
        return embed(images)

    monkeypatch.setattr(embedder, "embed", count)
    text = "path_a,path_b\nr.png,black.png\nblack.png,./r.png\nsub/../r.png,r.png\nr.png,sub/s.png\n"
    rows = answers_to(photos, text, embedder)
    assert sum(seen) == 3
    assert [row[3] for row in rows[1:]] == ["0.3333", "0.3333", "1.0000", f"{NEAR:.4f}"]


def test_images_that_can_not_be_read_are_told_in_their_rows(photos: Path, embedder: Embedder) -> None:
    text = "path_a,path_b\nr.png,missing.png\ncut.png,missing.png\nr.png,r.png\n,r.png\n"
    (photos / "pairs.csv").write_text(text)
    assert not write_answers(photos / "pairs.csv", photos / "out.csv", embedder, None, LIMITS)
    rows = lines(photos / "out.csv")[1:]
    assert rows[0] == ["r.png", "missing.png", "", "", "", "path_b: No such file or directory"]
    assert rows[1][:5] == ["cut.png", "missing.png", "", "", ""]
    assert rows[1][5].startswith("path_a: The PNG")
    assert rows[1][5].endswith("; path_b: No such file or directory")
    assert rows[2][2:4] == ["1", "1.0000"]
    assert rows[3][5] == "path_a: Is a directory"


def test_a_file_over_the_limit_is_told(photos: Path, embedder: Embedder) -> None:
    (photos / "pairs.csv").write_text("path_a,path_b\nr.png,r.png\n")
    write_answers(photos / "pairs.csv", photos / "out.csv", embedder, None, ImageLimits(max_bytes=10))
    assert f"has {len(RED)} bytes, and the limit is 10" in lines(photos / "out.csv")[1][5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no rows"),
        ("path_a,path_b\n", "has no rows"),
        ("a,b\nr.png,r.png\n", "0 columns called path_a, of a, b. It needs one path_a and one path_b"),
        ("path_a;path_b\nr.png;r.png\n", "of path_a;path_b"),
        ("path_a,path_b,path_b\n1,2,3\n", "2 columns called path_b"),
        ("path_a,path_b,similarity\n1,2,3\n", "column called similarity, which is to be written"),
        ("path_a,path_b\nr.png\n", "line 2 has 1 cells, and there are 2 columns"),
        ('path_a,path_b\n"r.png,r.png\n', "is no CSV table: line 2"),
        ("path_a,path_b\nr\0.png,r.png\n", "line 2 holds a NUL"),
    ],
)
def test_tables_that_do_not_fit(photos: Path, embedder: Embedder, text: str, told: str) -> None:
    with pytest.raises(TableError) as caught:
        answers_to(photos, text, embedder)
    assert "pairs.csv" in str(caught.value)
    assert told in str(caught.value)
    assert not (photos / "out.csv").exists()
