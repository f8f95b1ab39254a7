"""Which model is the default after an export, and what becomes of the one that was."""

from __future__ import annotations

from pathlib import Path

import pytest

from phototriage.model_folder import manifest
from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from tests.tiny_models import write_embedder, write_model
from training.export.models_beside import default_notes, given_up, is_default
from training.export.taking_up import taking_up


def test_the_first_classifier_is_the_default_and_stays_it(tmp_path: Path) -> None:
    assert is_default("shapes", "classifier", tmp_path, wanted=False)
    write_embedder(tmp_path / "words", name="words", default=True)
    assert is_default("shapes", "classifier", tmp_path, wanted=False)
    write_model(tmp_path / "shapes", name="shapes", default=True)
    assert is_default("shapes", "classifier", tmp_path, wanted=False)
    assert not is_default("another", "classifier", tmp_path, wanted=False)
    assert is_default("another", "classifier", tmp_path, wanted=True)


def test_a_new_default_takes_the_place_of_all_others_of_its_kind(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_embedder(tmp_path / name, name=name, default=name != "b")
    write_model(tmp_path / "tiny", default=True)
    old, other = manifest.read(tmp_path / "a"), manifest.read(tmp_path / "tiny")
    new = manifest.read(tmp_path / "c")
    (line,), gone = given_up(tmp_path, new), "no longer the default"
    changed = manifest.read(tmp_path / "a")
    assert line == f"{tmp_path / 'a'}: version {changed.version}, in place of version {old.version}, {gone}"
    assert changed == old.model_copy(
        update={"default": False, "same_embeddings_as": (old.version,), "version": changed.version}
    )  # so that embeddings that were kept stay valid
    assert manifest.read(tmp_path / "tiny") == other
    assert load_models(Settings(models_directory=tmp_path, threads=1)).embedder().name == "c"
    assert given_up(tmp_path, new) == []


def test_who_answers_is_said_where_it_is_another(tmp_path: Path) -> None:
    write_model(tmp_path / "old", name="old", default=True)
    new = write_model(tmp_path / "new", name="new", default=False)
    (note,) = default_notes(tmp_path, new)
    for words in ("no classifier is named, old goes", "--default", "PHOTOTRIAGE_DEFAULT_CLASSIFIER=new", "?model=new"):
        assert words in note
    assert default_notes(tmp_path, manifest.read(tmp_path / "old")) == []
    assert default_notes(tmp_path, write_embedder(tmp_path / "words", name="words", default=False)) == []


def test_who_serves_other_models_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHOTOTRIAGE_MODELS_DIRECTORY", raising=False)
    (tmp_path / "exported_models").mkdir()
    assert "set PHOTOTRIAGE" not in taking_up(Path("exported_models"))
    remedy = f"serves exported_models: set PHOTOTRIAGE_MODELS_DIRECTORY={tmp_path / 'mine'}"
    assert taking_up(Path("mine")).endswith(remedy)
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", "mine")
    assert "set PHOTOTRIAGE" not in taking_up(tmp_path / "mine")
