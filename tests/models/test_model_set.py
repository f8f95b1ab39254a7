from __future__ import annotations

from pathlib import Path

import pytest

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.models.model_set import Kind, load_needed
from phototriage.settings import Settings
from phototriage.triage.pipeline import kinds_of
from phototriage.triage.schemas import Part
from tests.scored_models import AUTOENCODER, CLASSIFIER, write_scored
from tests.tiny_models import write_embedder, write_model

CLASSIFY: tuple[Kind, ...] = ("classifier",)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classifiers, of which one scores difficulty, its autoencoder, and an embedder."""
    folder = tmp_path_factory.mktemp("models")
    write_scored(folder)
    write_model(folder / "tiny")
    write_embedder(folder / "tiny_embedder")
    return folder


def settings(directory: Path, default: str | None = "tiny") -> Settings:
    return Settings(models_directory=directory, provider="cpu", threads=1, default_classifier=default)


@pytest.mark.parametrize(
    ("parts", "classifier", "expected"),
    [
        (("classify",), None, {"tiny"}),
        (("embed",), None, {"tiny_embedder"}),
        (("saliency", "embed"), None, {"tiny", "tiny_embedder"}),
        (("difficulty",), CLASSIFIER, {CLASSIFIER, AUTOENCODER}),
        (("classify",), CLASSIFIER, {CLASSIFIER, AUTOENCODER}),
    ],
)
def test_only_what_answers_is_loaded(
    directory: Path, parts: tuple[Part, ...], classifier: str | None, expected: set[str]
) -> None:
    models = load_needed(settings(directory), kinds_of(parts), classifier, None)
    assert {one.name for one in models.all} == expected
    if "classify" in parts:
        assert models.classifier().name == (classifier or "tiny")


def test_a_name_that_is_not_there_is_told_as_ever(directory: Path) -> None:
    models = load_needed(settings(directory), CLASSIFY, "nobody", None)
    with pytest.raises(UnknownModel, match=r"No classifier is called 'nobody'; there is tiny"):
        models.classifier("nobody")


def test_two_without_a_default_are_refused_as_ever(directory: Path) -> None:
    with pytest.raises(ModelFolderError, match="Which classifier is the default"):
        load_needed(settings(directory, None), CLASSIFY, None, None)
