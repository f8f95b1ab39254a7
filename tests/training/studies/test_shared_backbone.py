"""The study of one backbone for class and embedding, the whole of it on drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from phototriage.model_folder import golden
from phototriage.model_folder.manifest import MODEL_FILE, Output
from tests.drawings import drawing, encoded, two_classes, write_folder
from tests.tiny_models import decision, described
from tests.training.gradient_graph.test_graph import rule_of
from tests.training.studies.test_backbone_graphs import OTHER, SHARED, SIZE, Two
from training.embedder.options import parse as parse_embedder
from training.studies import backbone_classes as backbone_classes
from training.studies import backbone_pairs as backbone_pairs
from training.studies.shared_backbone import main


def write_model(folder: Path, model: onnx.ModelProto, **changes: Any) -> Path:
    folder.mkdir()
    onnx.save(model, folder / MODEL_FILE)
    (folder / golden.FILE_NAME).write_bytes(b"not replayed")
    role, columns = changes.pop("main")
    side = changes["input"].height
    outputs = (
        Output(role=role, name=role, shape=("N", columns)),
        Output(role="gradient", name="gradient", shape=("N", side, side, 3)),
    )
    written = described(folder, changes | {"outputs": outputs})
    assert written.name == folder.name
    return folder


def test_all_tables_of_two_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (backbone_classes, backbone_pairs):
        monkeypatch.setattr(module, "RESAMPLES", 20)
    monkeypatch.setattr(backbone_classes, "STRENGTHS", (0.001, 0.01))
    two = Two()
    photos = write_folder(tmp_path / "photos", {f"{i:02}.png": encoded(drawing(i)) for i in range(40)})
    photos_of_training = ["--data", str(photos), "--val-keys", r"/[0-2]\d"]
    options = parse_embedder([*photos_of_training, "--name", "finder", "--size", str(OTHER), "--dimension", "4"])[1]
    classes = write_folder(tmp_path / "classes", two_classes(40))
    training = {"command": "none", "random_seed": 0, "packages": {}, "hardware": "any"}
    classifier = write_model(
        tmp_path / "teller",
        two.logits_model,
        main=("logits", 2),
        kind="classifier",
        description="Tells",
        labels=("cat", "dog"),
        input=rule_of(SIZE),
        training=training | {"settings": {"group_by": None}},
    )
    embedder = write_model(
        tmp_path / "finder",
        two.embedding_model,
        main=("embedding", 4),
        kind="embedder",
        description="Finds",
        decision=decision(),
        input=rule_of(OTHER),
        training=training | {"settings": options.model_dump(mode="json")},
    )
    arguments = [
        *("--classes", str(classes), "--photos", str(photos), "--classifier", str(classifier)),
        *("--embedder", str(embedder), "--runs", str(tmp_path / "runs"), "--rounds", "1", "--head-photos", "8"),
    ]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert f"the first {SHARED} of 9 stages are the same" in text
    for lead in (
        "| E0: the classifier",
        "| E1: embedder backbone",
        "| E2: the classifier's backbone",
        "| E3: the embedder",
    ):
        assert lead in text
    assert {path.stem for path in (tmp_path / "runs/shared_backbone").glob("*.npz")} == {
        *("train", "val", "hidden", "views", "pairs")
    }
