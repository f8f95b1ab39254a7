from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from phototriage.models.model_set import Models, load_models
from phototriage.server.model_changes import read_again
from phototriage.settings import Settings
from phototriage.triage import pipeline
from tests.tiny_models import solid, write_embedder, write_model

RED = solid((255, 0, 0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_model(tmp_path / "tiny", default=True)
    return Settings(models_directory=tmp_path, threads=1, provider="cpu")


@pytest.fixture
def old(settings: Settings) -> Models:
    return load_models(settings)


def test_nothing_new_leaves_every_model_in_memory(settings: Settings, old: Models) -> None:
    models, response = read_again(settings, old)
    assert models.classifier("tiny") is old.classifier("tiny")
    assert (response.taken_up, response.removed, response.refused) == ([], [], [])
    assert [(one.name, one.version) for one in response.models] == [("tiny", old.classifier("tiny").manifest.version)]


def test_a_new_model_and_a_new_version_are_taken_up(settings: Settings, old: Models, tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny_embedder")
    shutil.rmtree(tmp_path / "tiny")
    written = write_model(tmp_path / "tiny", scale=20, default=True)
    models, response = read_again(settings, old)
    assert [(one.name, one.replaced) for one in response.taken_up] == [
        ("tiny", old.classifier("tiny").manifest.version),
        ("tiny_embedder", None),
    ]
    assert pipeline.classify(models, RED).model.version == written.version
    assert pipeline.classify(models, RED).confidence > pipeline.classify(old, RED).confidence
    assert models.embedder().name == "tiny_embedder"


def test_a_model_whose_folder_is_gone_is_removed(settings: Settings, old: Models, tmp_path: Path) -> None:
    write_model(tmp_path / "other")
    models, _ = read_again(settings, old)
    shutil.rmtree(tmp_path / "other")
    models, response = read_again(settings, models)
    assert response.removed == ["other"]
    assert list(models.classifiers) == ["tiny"]


def test_a_folder_that_can_not_be_trusted_leaves_the_old_version(
    settings: Settings, old: Models, tmp_path: Path
) -> None:
    with (tmp_path / "tiny" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    write_model(tmp_path / "other", golden_scale=11)
    models, response = read_again(settings, old)
    assert models.classifier("tiny") is old.classifier("tiny")
    assert list(models.classifiers) == ["tiny"]
    assert [one.name for one in response.refused] == ["other", "tiny"]
    assert "golden.npz" in response.refused[0].detail
    assert "SHA-256" in response.refused[1].detail


def test_models_that_do_not_fit_together_leave_all_old_ones(settings: Settings, old: Models, tmp_path: Path) -> None:
    write_model(tmp_path / "other", default=True)  # a second default
    models, response = read_again(settings, old)
    assert models is old
    assert response.taken_up == []
    (refused,) = response.refused
    assert refused.name is None
    assert "Which classifier is the default, of other, tiny?" in refused.detail


def test_a_directory_that_is_gone_leaves_all_old_ones(settings: Settings, old: Models, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    models, response = read_again(settings, old)
    assert models is old
    assert "can't be read" in response.refused[0].detail
