"""`phototriage index`, on what `phototriage score --index` has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phototriage.cli.command import main
from tests.tiny_models import solid, write_embedder

COLOURS = {"red.png": (255, 0, 0), "green.png": (0, 255, 0), "red_again.png": (255, 0, 0)}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, models_directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    monkeypatch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in COLOURS.items():
        (folder / name).write_bytes(solid(colour, 20, 20))
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, photos: Path, models_directory: Path) -> Path:
    folder = tmp_path_factory.mktemp("scores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
        patch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")
        options = ["--index", str(folder / "index"), "--workers", "1"]
        assert main(["score", str(photos), "-o", str(folder / "scores.parquet"), *options]) == 0
    return folder / "index"


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_info_tells_what_it_holds(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "info", str(index)]) == 0
    (info,) = printed(capsys)
    assert (info["model"], info["images"], info["groups"], info["batches"]) == ("tiny_embedder", 3, 1, 1)


def test_query_names_the_most_similar(index: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "query", str(index), str(photos / "green.png"), "--count", "2"]) == 0
    (found,) = printed(capsys)
    first, second = found["nearest"]
    assert (first["image"], first["is_duplicate"]) == (f"{photos}/green.png", True)
    assert (second["similarity"], second["is_duplicate"]) == (pytest.approx(-1 / 3, abs=1e-6), False)


def test_query_goes_on_behind_a_bad_file(
    index: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    files = [str(tmp_path / "bad.png"), str(tmp_path / "gone.png"), str(photos / "red.png")]
    assert main(["index", "query", str(index), *files]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "bad.png: The file starts with" in captured.err
    assert "gone.png: No such file" in captured.err


def test_rebuild_keeps_what_is_known(index: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "rebuild", str(index)]) == 0
    assert printed(capsys)[0]["images"] == 3
    assert main(["index", "query", str(index), str(photos / "red.png")]) == 0
    assert printed(capsys)[0]["nearest"][0]["similarity"] == pytest.approx(1)


def test_what_is_no_index_is_told(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("info", "rebuild"):
        assert main(["index", action, str(tmp_path)]) == 2
    assert main(["index", "query", str(tmp_path / "nowhere"), str(photos / "red.png")]) == 2
    assert capsys.readouterr().err.count("is no index") == 3


def test_embeddings_of_another_version_are_refused(
    index: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_embedder(tmp_path / "tiny_embedder", description="Another version")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(tmp_path))
    assert main(["index", "query", str(index), str(photos / "red.png")]) == 2
    assert "can't be compared" in capsys.readouterr().err
