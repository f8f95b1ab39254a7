"""The manifest: a changed byte is a new version, and nothing is taken on trust."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from phototriage.common.errors import ModelFolderError
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Data, Manifest, Output, Training, read, sha256_of, write
from tests.tiny_models import decision

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def manifest(**changes: object) -> Manifest:
    fields: dict[str, object] = {
        "name": "tiny",
        "kind": "classifier",
        "default": True,
        "description": "A test.",
        "files": {"model.onnx": EMPTY_SHA256},
        "input": InputConfig(height=8, width=8, colour="rgb", resize="box", antialias=True, aspect="crop"),
        "outputs": (Output(role="logits", name="logits", shape=("N", 2)),),
        "labels": ("a", "b"),
        "data": Data(name="drawn", sha256=EMPTY_SHA256, licence="CC0", images={"train": 2}),
        "training": Training(command="none", settings={}, random_seed=0, packages={}, hardware="none"),
    }
    return Manifest.model_validate(fields | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    path.mkdir()
    (path / "model.onnx").write_bytes(b"")
    write(manifest(), path)
    return path


def test_what_is_written_is_read(folder: Path) -> None:
    assert read(folder) == manifest().sealed()
    assert not list(folder.glob("*.part"))


def test_sha256_of_an_empty_file(folder: Path) -> None:
    assert sha256_of(folder / "model.onnx") == EMPTY_SHA256


def test_the_version_follows_the_content() -> None:
    assert manifest().sealed().version == manifest().sealed().version
    assert manifest(description="Another.").sealed().version != manifest().sealed().version


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"x")
    with pytest.raises(ModelFolderError, match=r"tiny/model\.onnx has SHA-256"):
        read(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelFolderError, match=r"tiny/model\.onnx is missing"):
        read(folder)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"manifest\.json is missing"):
        read(tmp_path)


def test_a_manifest_changed_by_hand_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    fields["labels"] = ["b", "a"]
    path.write_text(json.dumps(fields))
    with pytest.raises(ModelFolderError, match="changed by hand"):
        read(folder)


def test_an_unknown_field_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extra": 1}))
    with pytest.raises(ModelFolderError, match="extra"):
        read(folder)


def test_a_renamed_folder_is_refused(folder: Path) -> None:
    other = folder.rename(folder.parent / "other")
    with pytest.raises(ModelFolderError, match="rename the folder"):
        read(other)


def embedder(**changes: object) -> Manifest:
    outputs = (
        Output(role="embedding", name="embedding", shape=("N", 2)),
        Output(role="gradient", name="gradient", shape=("N", 8, 8, 3)),
    )
    return manifest(**{"kind": "embedder", "labels": (), "outputs": outputs, "decision": decision()} | changes)


def test_an_embedder_has_its_decision_and_its_width(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"")
    write(embedder(), folder)
    assert read(folder).decision == decision()
    assert (embedder().main_role, embedder().width) == ("embedding", 2)
    assert (manifest().main_role, manifest().width) == ("logits", 2)


def test_another_threshold_is_another_version() -> None:
    assert embedder(decision=decision(threshold=0.8)).sealed().version != embedder().sealed().version


# Fields that came later, and that a version says nothing of where they are empty.
ABSENT = {"version", "difficulty", "verification", "same_embeddings_as"}


def test_a_manifest_without_a_decision_has_the_version_it_had_before_there_were_any() -> None:
    # The canonical JSON as it was then: without the field, not with a null in it.
    fields = json.loads(manifest().model_dump_json(exclude=ABSENT | {"decision"}))
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert manifest().compute_version() == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_a_decision_without_layout_rescoring_has_the_version_it_had_before_there_were_any() -> None:
    fields = json.loads(embedder().model_dump_json(exclude=ABSENT))
    del fields["decision"]["second_look"]
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert embedder().compute_version() == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_layout_rescoring_is_another_version_and_a_part_of_the_embedding() -> None:
    looking = embedder(decision=decision(layout_rescoring=LayoutRescoring()))
    assert looking.sealed().version != embedder().sealed().version
    assert (embedder().embedding_parts, looking.embedding_parts) == ((2,), (2, 64))
    assert (embedder().layout_rescoring, looking.layout_rescoring) == (None, LayoutRescoring())


def test_a_shipped_manifest_has_the_version_that_it_had_before_it_verified() -> None:
    folder = Path(__file__).parents[2] / "exported_models" / "near_duplicates"
    fields = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for later in ("difficulty", "verification", "same_embeddings_as"):
        del fields[later]
    del fields["files"]["verification.npz"]
    before = Manifest.model_validate(fields)
    assert before.compute_version() == "029b1782e24fb7be"
    assert before.compute_version() in read(folder).same_embeddings_as


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decision": None}, "needs a decision"),
        ({"labels": ("a", "b")}, "has no labels"),
        ({"outputs": (Output(role="gradient", name="g", shape=("N", 8, 8, 3)),)}, "output embedding"),
        ({"outputs": (Output(role="embedding", name="e", shape=("N", 2)),)}, "output gradient"),
        ({"outputs": (Output(role="embedding", name="e", shape=("N", "D")),)}, "output embedding"),
        (
            {
                "decision": decision(layout_rescoring=LayoutRescoring()),
                "input": manifest().input.model_copy(update={"width": 24}),
                "outputs": (
                    Output(role="embedding", name="e", shape=("N", 2)),
                    Output(role="gradient", name="g", shape=("N", 8, 24, 3)),
                ),
            },
            "multiples or divisors of 32",
        ),
        ({"kind": "autoencoder"}, "a decision about duplicates is an embedder's"),
        ({"kind": "classifier", "labels": ("a", "b")}, "a decision about duplicates is an embedder's"),
    ],
)
def test_an_embedder_that_is_none_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        embedder(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"slope": 0},
        {"slope": float("inf")},
        {"intercept": float("nan")},
        {"prior": 0},
        {"prior": 0.3},  # 25 of the 100 pairs are duplicates
        {"tuning": decision().tuning.model_dump() | {"data": "a/pairs"}},
        {"tuning": decision().tuning.model_dump() | {"data": "a\\pairs"}},
        {"tuning": decision().tuning.model_dump() | {"f1": {"value": 0.5, "interval": (0.6, 0.4)}}},
        {"tuning": decision().tuning.model_dump() | {"f1": {"value": 1.5, "interval": (0, 1)}}},
    ],
)
def test_a_decision_that_is_none_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        decision(**changes)


def test_a_prior_may_be_rounded() -> None:
    assert decision(prior=0.2504).prior == 0.2504


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("a",)},
        {"labels": ("a", "a")},
        {"name": "../up"},
        {"files": {"../up": EMPTY_SHA256}},
        {"files": {"model.onnx": "abc"}},
        {"outputs": (Output(role="logits", name="x", shape=()), Output(role="logits", name="y", shape=()))},
    ],
)
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        manifest(**changes)


LATENT = Output(role="latent", name="latent", shape=("N", 4))
ERROR = Output(role="reconstruction_error", name="error", shape=("N", 2))


def test_an_autoencoder() -> None:
    found = manifest(kind="autoencoder", labels=(), outputs=(LATENT, ERROR))
    with pytest.raises(ModelFolderError, match="only classifiers and embedders answer by themselves"):
        _ = found.main_role


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": ("a",)}, "has no labels"),
        ({"outputs": (ERROR,)}, "output latent"),
        ({"outputs": (LATENT,)}, "output reconstruction_error"),
        ({"outputs": (LATENT, ERROR.model_copy(update={"shape": ("N", 1)}))}, "output reconstruction_error"),
        ({"outputs": (LATENT.model_copy(update={"shape": ("N", "D")}), ERROR)}, "output latent"),
    ],
)
def test_an_autoencoder_that_is_none_is_refused(changes: dict[str, object], told: str) -> None:
    fields: dict[str, object] = {"kind": "autoencoder", "labels": (), "outputs": (LATENT, ERROR)}
    with pytest.raises(ValidationError, match=told):
        manifest(**fields | changes)
