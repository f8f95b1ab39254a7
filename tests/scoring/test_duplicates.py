"""`phototriage score --near-duplicates`, with the tiny embedder: red and green have the cosine −1/3."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from phototriage.cli.command import main
from phototriage.scoring import duplicates as score_duplicates
from phototriage.scoring import parts as score_parts
from tests.tiny_models import solid, write_embedder, write_model

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, models_directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    monkeypatch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")


def folder_of(place: Path, colours: dict[str, tuple[int, int, int]]) -> Path:
    place.mkdir()
    for name, colour in colours.items():
        (place / name).write_bytes(solid(colour, 20, 20))
    return place


@pytest.fixture
def today(tmp_path: Path) -> Path:
    folder = folder_of(tmp_path / "today", {"a.png": RED, "b.png": GREEN, "c.png": RED, "d.png": RED})
    (folder / "bad.png").write_bytes(b"bad")
    return folder


@pytest.fixture
def tomorrow(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "tomorrow", {"a.png": BLUE, "x.png": GREEN})


def score(source: Path, output: Path, *options: str) -> int:
    return main(["score", str(source), "-o", str(output), "--workers", "1", "--include", "classify", *options])


def near_duplicates(output: Path) -> dict[str, Any]:
    return {row["name"]: row["near_duplicates"] for row in parquet.read_table(output).to_pylist()}


def test_images_are_compared_with_those_before_them(today: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    assert score(today, output, "--near-duplicates") == 1
    table = parquet.read_table(output)
    assert table.column_names == ["name", "classify", "near_duplicates", "error"]
    rows = near_duplicates(output)
    assert rows["bad.png"] is None
    assert (rows["a.png"]["nearest"], rows["a.png"]["similarity"], rows["a.png"]["is_duplicate"]) == (None, None, False)
    assert rows["a.png"]["model"]["name"] == "tiny_embedder"
    assert rows["b.png"]["nearest"] == "a.png"
    assert rows["b.png"]["similarity"] == pytest.approx(-1 / 3, abs=1e-6)
    assert (rows["b.png"]["is_duplicate"], rows["b.png"]["group"]) == (False, "b.png")
    assert (rows["c.png"]["nearest"], rows["c.png"]["is_duplicate"], rows["c.png"]["group"]) == ("a.png", True, "a.png")
    assert rows["d.png"]["group"] == "a.png"
    assert {row["image"] for row in rows.values() if row} == {"a.png", "b.png", "c.png", "d.png"}


def test_an_index_remembers_and_tells_images_of_one_name_apart(today: Path, tomorrow: Path, tmp_path: Path) -> None:
    index, output = tmp_path / "index", tmp_path / "scores.parquet"
    assert score(today, output, "--index", str(index)) == 1
    assert score(tomorrow, output, "--index", str(index), "--restart") == 0
    rows = near_duplicates(output)
    assert rows["x.png"]["nearest"] == f"{today}/b.png"
    assert (rows["x.png"]["is_duplicate"], rows["x.png"]["group"]) == (True, f"{today}/b.png")
    # Blue is no other image's duplicate, and another `a.png` than today's, which is still known.
    assert (rows["a.png"]["is_duplicate"], rows["a.png"]["image"]) == (False, f"{tomorrow}/a.png")
    (tomorrow / "y.png").write_bytes(solid(RED, 20, 20))
    assert score(tomorrow, output, "--index", str(index), "--restart") == 0
    assert near_duplicates(output)["y.png"]["group"] == f"{today}/a.png"
    assert near_duplicates(output)["a.png"]["nearest"] != f"{tomorrow}/a.png"


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_run_that_dies_around_the_commit_gives_the_same_rows(
    today: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    index, output = tmp_path / "index", tmp_path / "scores.parquet"
    assert score(today, tmp_path / "whole.parquet", "--index", str(tmp_path / "other")) == 1
    commit = score_duplicates.NearDuplicates.commit

    def die(self: score_duplicates.NearDuplicates) -> None:
        if place == "after":
            commit(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(score_duplicates.NearDuplicates, "commit", die)
        assert score(today, output, "--index", str(index)) == 130
    assert not output.exists()
    assert score_parts.folder_of(output).exists()
    assert score(today, output, "--index", str(index)) == 1
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not score_parts.folder_of(output).exists()


def test_an_index_of_another_version_is_refused_before_the_work(
    today: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index, output = tmp_path / "index", tmp_path / "scores.parquet"
    assert score(today, output, "--index", str(index)) == 1
    models = tmp_path / "models"
    write_model(models / "tiny")
    write_embedder(models / "tiny_embedder", description="Another version")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models))
    assert score(today, tmp_path / "again.parquet", "--index", str(index)) == 2
    assert "can't be compared" in capsys.readouterr().err
    assert not (tmp_path / "again.parquet.parts").exists()


def test_without_an_embedder_it_is_told(
    today: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "models" / "tiny")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(tmp_path / "models"))
    assert main(["score", str(today), "-o", str(tmp_path / "s.parquet"), "--near-duplicates", "--workers", "1"]) == 2
    assert "--near-duplicates needs an embedder, and none is served here" in capsys.readouterr().err


def test_an_index_in_use_is_refused(today: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "index"
    assert score(today, tmp_path / "scores.parquet", "--index", str(index)) == 1
    shutil.copytree(today, tmp_path / "copy")
    from phototriage.index.image_index import ImageIndex
    from phototriage.models.model_set import load_models
    from phototriage.settings import read_settings

    with ImageIndex.open(index, load_models(read_settings()).embedder()):
        assert score(tmp_path / "copy", tmp_path / "other.parquet", "--index", str(index)) == 2
    assert str(index) in capsys.readouterr().err
