"""`phototriage score` and `phototriage index query` by an embedder that verifies, and by the one that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from phototriage.cli.command import main
from phototriage.images.pixels import ImageLimits
from phototriage.index.image_index import ImageIndex, IndexedModel
from phototriage.models.loading import load_embedder
from phototriage.models.model_set import load_models
from phototriage.scoring import duplicates as score_duplicates
from phototriage.scoring.schema import body_of
from phototriage.settings import Settings
from phototriage.triage.embedder_input import embedder_input
from phototriage.triage.pipeline import TriageRequest, triage
from phototriage.triage.schemas import Part
from phototriage.verification.verifier import logistic
from tests.drawings import encoded
from tests.tiny_models import png_of, write_embedder, write_model
from tests.verifying_models import LOG_ODDS, patches, write_verifying_embedder
from training.drawings import draw_set

SURE = pytest.approx(logistic(LOG_ODDS))
EMBED: tuple[Part, ...] = ("classify", "embed")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "tiny")
    write_verifying_embedder(folder / "tiny_embedder")
    return folder


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(directory))
    monkeypatch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos that are alike to the embedder, and a larger copy of the first."""
    folder = tmp_path_factory.mktemp("photos")
    for name, pixels in {"a.png": patches(1), "b.png": patches(2), "c.png": patches(1, scale=20)}.items():
        (folder / name).write_bytes(png_of(pixels))
    return folder


def score(source: Path, output: Path, index: Path) -> int:
    options = ["--workers", "1", "--include", ",".join(EMBED), "--index", str(index)]
    return main(["score", str(source), "-o", str(output), *options])


def rows_of(output: Path) -> dict[str, Any]:
    return {row["name"]: row for row in parquet.read_table(output).to_pylist()}


@pytest.fixture(scope="module")
def scored(photos: Path, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an output and its index."""
    folder = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(directory))
        patch.setenv("PHOTOTRIAGE_PROVIDER", "cpu")
        assert score(photos, folder / "scores.parquet", folder / "index") == 0
    return folder


def test_a_row_tells_what_verification_found(scored: Path, photos: Path) -> None:
    found = {name: row["near_duplicates"] for name, row in rows_of(scored / "scores.parquet").items()}
    a, b, c = found["a.png"], found["b.png"], found["c.png"]
    assert (a["nearest"], a["probability"], a["verified"], a["is_duplicate"]) == (None, None, False, False)
    assert (b["nearest"], b["probability"]) == (f"{photos}/a.png", pytest.approx(logistic(-LOG_ODDS)))
    assert b["similarity"] > 0.99
    assert (b["verified"], b["is_duplicate"], b["group"]) == (True, False, f"{photos}/b.png")
    assert (c["nearest"], c["probability"], c["verified"]) == (f"{photos}/a.png", SURE, True)
    assert (c["is_duplicate"], c["group"]) == (True, f"{photos}/a.png")


def test_a_row_has_the_signature_and_is_the_servers_answer(scored: Path, photos: Path, directory: Path) -> None:
    models = load_models(Settings(models_directory=directory, provider="cpu"))
    for name, row in rows_of(scored / "scores.parquet").items():
        data = (photos / name).read_bytes()
        signed = embedder_input(models.embedder(), data, ImageLimits()).signature
        assert row["embed"]["embedding"]["signature"] == signed
        answer = triage(models, data, TriageRequest(include=EMBED))
        assert body_of(row) == json.loads(answer.model_dump_json(exclude_none=True))


def test_a_query_is_verified(scored: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "query", str(scored / "index"), str(photos / "b.png"), "--count", "2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    first, second = json.loads(line)["nearest"]
    assert (first["image"], first["probability"], first["verified"]) == (f"{photos}/b.png", SURE, True)
    assert (first["is_duplicate"], second["is_duplicate"], second["verified"]) == (True, False, True)


def test_a_run_that_dies_after_the_commit_gives_the_same_rows(
    scored: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = score_duplicates.NearDuplicates.commit

    def die(self: score_duplicates.NearDuplicates) -> None:
        commit(self)
        raise KeyboardInterrupt

    output = tmp_path / "scores.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(score_duplicates.NearDuplicates, "commit", die)
        assert score(photos, output, tmp_path / "index") == 130
    assert score(photos, output, tmp_path / "index") == 0
    assert output.read_bytes() == (scored / "scores.parquet").read_bytes()


def test_an_index_begun_before_verification_is_gone_on_with_by_similarity(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    write_model(models / "tiny")
    before = write_embedder(models / "tiny_embedder")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models))
    assert score(photos, tmp_path / "before.parquet", tmp_path / "index") == 0
    assert "verif" not in capsys.readouterr().err
    assert all(row["embed"]["embedding"]["signature"] is None for row in rows_of(tmp_path / "before.parquet").values())
    for path in (models / "tiny_embedder").iterdir():
        path.unlink()
    (models / "tiny_embedder").rmdir()
    write_verifying_embedder(models / "tiny_embedder", same_embeddings_as=(before.version,))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "d.png").write_bytes(png_of(patches(3)))
    assert score(tmp_path / "new", tmp_path / "after.parquet", tmp_path / "index") == 0
    assert "was begun without verification" in capsys.readouterr().err
    (row,) = rows_of(tmp_path / "after.parquet").values()
    match = row["near_duplicates"]
    assert (match["probability"], match["verified"], match["is_duplicate"]) == (None, False, True)
    assert not list((tmp_path / "index").rglob("signature*"))


def test_the_shipped_model_groups_a_copy_of_a_page_and_no_other_page(tmp_path: Path) -> None:
    model = load_embedder(Path(__file__).parents[2] / "exported_models" / "near_duplicates", Settings(provider="cpu"))
    pages = [page.convert("RGB") for page in draw_set("document", 8)]
    small = pages[3].resize((pages[3].width * 2 // 3, pages[3].height * 2 // 3))
    contents = [encoded(page) for page in pages] + [encoded(small, "JPEG", quality=80)]
    inputs = [embedder_input(model, content, ImageLimits()) for content in contents]
    vectors = model.embed(np.stack([each.pixels for each in inputs]))
    signatures = [each.signature for each in inputs if each.signature is not None]
    with ImageIndex.open(tmp_path, model) as index:
        matches = index.begin("pages").add([str(place) for place in range(9)], vectors, signatures)
    similar = [match.similarity for match in matches if match.similarity is not None]
    assert max(similar[:7]) > IndexedModel.of(model.manifest).threshold  # by which two of them would be duplicates
    assert [match.group for match in matches] == [*map(str, range(8)), "3"]
    assert [match.is_duplicate for match in matches] == [False] * 8 + [True]
    assert matches[8].nearest == "3"
