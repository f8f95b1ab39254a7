"""A model's ONNX file as a torch network again: the same answers, and refusals of what isn't the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder.manifest import Data, Training, read, write
from phototriage.models.loading import load_classifier
from phototriage.settings import Settings
from tests.drawings import drawing
from tests.training.gradient_graph.test_graph import rule_of
from training.data.drawn_images import drawn_images
from training.export.model_folder import export
from training.export.reimport import read_exported
from training.loop.run_folder import ClassifierRun
from training.networks.classifier import Classifier, NetworkSpec


@pytest.fixture(params=["backbone", "trunk"])  # "trunk": as models that were exported before name it
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    torch.manual_seed(3)
    spec = NetworkSpec(backbone="small_cnn", classes=2)
    network = Classifier(spec).eval()
    run = ClassifierRun(
        name="tiny",
        network=spec,
        input=rule_of(32),
        labels=("a", "b"),
        featout=None,
        metrics=(),
        data=Data(name="drawn", sha256="0" * 64, licence="CC0", images={"train": 1}),
        training=Training(
            command="none", settings={request.param: "small_cnn"}, random_seed=3, packages={}, hardware="any"
        ),
    )
    export(run, network, tmp_path, drawn_images(8, 32, 32, 3), default=True, drawn=True)
    return tmp_path / "tiny"


def test_it_answers_as_the_server_does(folder: Path) -> None:
    described, network = read_exported(folder)
    images = np.stack([np.asarray(drawing(i, (32, 32))) for i in range(4)])
    served = load_classifier(folder, Settings(provider="cpu")).logits(images)
    with torch.no_grad():
        found = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) / 255).numpy()
    np.testing.assert_allclose(found, served, atol=1e-5)
    assert described.labels == ("a", "b")


def test_a_manifest_of_another_network_is_refused(folder: Path) -> None:
    described = read(folder)
    settings = described.training.model_copy(update={"settings": {"backbone": "efficientnet_lite0"}})
    write(described.model_copy(update={"training": settings}), folder)
    with pytest.raises(ModelFolderError, match="isn't the network"):
        read_exported(folder)
