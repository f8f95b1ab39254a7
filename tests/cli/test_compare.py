"""A table of pairs to its answers, and two images to one: files in, files out, by the tiny embedder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.cli.compare import write_answers
from phototriage.common.tables import TableError
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.triage.comparison import TUNED, Thresholds
from tests.cli.test_duplicates import lines
from tests.drawings import write_folder
from tests.tiny_models import solid

LIMITS = ImageLimits()
RED, REDDISH, BLACK = (solid(colour) for colour in [(255, 0, 0), (255, 51, 0), (0, 0, 0)])
NEAR = 1.3 / math.sqrt(3 * 0.59)  # cosine of red and reddish


@pytest.fixture
def embedder(models: Models) -> Embedder:
    return models.embedder()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(
        tmp_path / "set", {"r.png": RED, "sub/s.png": REDDISH, "black.png": BLACK, "cut.png": RED[:-40]}
    )


def answers_to(photos: Path, text: str, embedder: Embedder, threshold: float | None = None) -> list[list[str]]:
    (photos / "pairs.csv").write_text(text, encoding="utf-8")
    write_answers(photos / "pairs.csv", photos / "out.csv", embedder, Thresholds(threshold), LIMITS)
    return lines(photos / "out.csv")


def probability(similarity: float) -> str:
    return f"{1 / (1 + math.exp(8 - 10 * similarity)):.4f}"


def test_pairs_are_answered_and_the_other_columns_kept(
    photos: Path, embedder: Embedder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'id,path_b,is_same,path_a,note\n7,sub/s.png,1,r.png,"a, ""b"""\n8,{photos / "black.png"},0,r.png,\n'
    assert answers_to(photos, text, embedder) == [
        [
            "id",
            "path_b",
            "is_same",
            "path_a",
            "note",
            "duplicate",
            "similarity",
            "probability",
            "decision",
            "verified",
            "error",
        ],
        ["7", "sub/s.png", "1", "r.png", 'a, "b"', "1", f"{NEAR:.4f}", probability(NEAR), "duplicate", "0", ""],
        ["8", str(photos / "black.png"), "0", "r.png", "", "0", "0.3333", probability(1 / 3), "not_duplicate", "0", ""],
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
    text = "path_a,path_b\nr.png,missing.png\ncut.png,missing.png\nr.png,r.png\nsub,r.png\n"
    (photos / "pairs.csv").write_text(text)
    assert not write_answers(photos / "pairs.csv", photos / "out.csv", embedder, TUNED, LIMITS)
    rows = lines(photos / "out.csv")[1:]
    assert rows[0] == ["r.png", "missing.png", "", "", "", "", "", "path_b: No such file or directory"]
    assert rows[1][:7] == ["cut.png", "missing.png", "", "", "", "", ""]
    assert rows[1][7].startswith("path_a: The PNG")
    assert rows[1][7].endswith("; path_b: No such file or directory")
    assert rows[2][2:4] == ["1", "1.0000"]
    assert rows[3][7].startswith("path_a: It is no file but a folder")


def test_a_file_over_the_limit_is_told(photos: Path, embedder: Embedder) -> None:
    (photos / "pairs.csv").write_text("path_a,path_b\nr.png,r.png\n")
    write_answers(photos / "pairs.csv", photos / "out.csv", embedder, TUNED, ImageLimits(max_bytes=10))
    assert f"has {len(RED)} bytes, and the limit is 10" in lines(photos / "out.csv")[1][7]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("path_a,path_b\n", "has no row below its header"),
        ("a,b\nr.png,r.png\n", "no column 'path_a'; it has a, b. It needs one path_a and one path_b"),
        ("path_a;path_b\nr.png;r.png\n", "separated by semicolons. Save it with commas"),
        ("path_a,path_b,path_b\n1,2,3\n", "2 columns 'path_b'"),
        ("path_a,path_b\nr.png,r.png\nr.png,\n", "line 3: path_b names no file. Fill it in"),
        ("path_a,path_b,similarity\n1,2,3\n", "column called similarity, which is to be written"),
        ("path_a,path_b\nr.png\n", "line 2 has 1 cell, and there are 2 columns"),
        ('path_a,path_b\n"r.png,r.png\n', "is no CSV table from line 2 on"),
        ("path_a,path_b\nr\0.png,r.png\n", "line 2 holds a NUL"),
    ],
)
def test_tables_that_do_not_fit(photos: Path, embedder: Embedder, text: str, told: str) -> None:
    with pytest.raises(TableError) as caught:
        answers_to(photos, text, embedder)
    assert "pairs.csv" in str(caught.value)
    assert told in str(caught.value)
    assert not (photos / "out.csv").exists()
