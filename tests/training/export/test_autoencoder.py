"""An autoencoder's graph says what torch says, holds nothing of this machine, and is served after its own checks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from phototriage.common.errors import ModelFolderError, UnknownModel
from phototriage.model_folder import golden, manifest
from phototriage.models.loading import load_autoencoder, load_model
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from phototriage.triage import responses
from tests.drawings import drawing, encoded, write_folder
from tests.tiny_models import write_model
from training.autoencoder.job import main as train
from training.data.drawn_images import drawn_images
from training.export import autoencoder as autoencoder_export
from training.export.agreement import DisagreementError
from training.export.model_folder import main as export
from training.loop.run_folder import read_autoencoder_run
from training.networks.autoencoder import Autoencoder, AutoencoderSpec

CPU = Settings(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = write_folder(tmp_path_factory.mktemp("photos"), {f"{i:02}.png": encoded(drawing(i)) for i in range(20)})
    folder = tmp_path_factory.mktemp("runs")
    small = ["--size", "16", "--latent", "8", "--width", "8", "--epochs", "1", "--workers", "0", "--device", "cpu"]
    assert train(["--data", str(photos), "--name", "mine", "--runs", str(folder), *small]) == 0
    return folder


@pytest.fixture(scope="module")
def models(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    assert export(["--name", "mine", "--runs", str(runs), "--models", str(folder)]) == 0
    return folder


def test_the_served_autoencoder_measures_as_torch_does(runs: Path, models: Path) -> None:
    _, network = read_autoencoder_run(runs / "mine")
    model = load_autoencoder(models / "mine", CPU)
    images = drawn_images(5, 16, 16, 3, seed=7)
    expected = autoencoder_export.answers_in_torch(network, images)
    found = model.measure(images)
    np.testing.assert_allclose(found.latent, expected["latent"], atol=1e-5)
    np.testing.assert_allclose(found.l1, expected["reconstruction_error"][:, 0], atol=1e-5)
    np.testing.assert_allclose(found.dissimilarity, expected["reconstruction_error"][:, 1], atol=1e-4)


def test_the_folder_says_what_it_holds_and_nothing_of_the_machine(models: Path) -> None:
    described = manifest.read(models / "mine")
    assert (described.kind, described.default, described.labels) == ("autoencoder", False, ())
    assert [(output.role, output.shape) for output in described.outputs] == [
        ("latent", ("N", 8)),
        ("reconstruction_error", ("N", 2)),
    ]
    graph = (models / "mine" / "model.onnx").read_bytes()
    for trace in (b"site-packages", b"autoencoder_network", b".py"):
        assert trace not in graph
    assert "8 numbers in the bottleneck" in (models / "mine" / "CARD.md").read_text()


def test_it_is_served_beside_a_classifier_and_answers_nothing_by_itself(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    shutil.copytree(models / "mine", tmp_path / "mine")
    served = load_models(Settings(provider="cpu", threads=1, models_directory=tmp_path))
    assert list(served.classifiers) == ["tiny"]
    assert list(served.autoencoders) == ["mine"]
    listed = {info.name: info for info in responses.list_models(served).models}
    assert (listed["mine"].kind, listed["mine"].default) == ("autoencoder", False)
    with pytest.raises(UnknownModel):
        served.classifier("mine")


def test_an_autoencoder_alone_can_be_loaded_but_not_as_another_kind(models: Path) -> None:
    alone = load_models(Settings(provider="cpu", threads=1, models_directory=models))
    assert isinstance(alone, Models)
    assert not alone.classifiers
    with pytest.raises(ModelFolderError, match="answer by themselves"):
        load_model(models / "mine", CPU)


def test_a_classifier_is_no_autoencoder(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    with pytest.raises(ModelFolderError, match="not an autoencoder"):
        load_autoencoder(tmp_path / "tiny", CPU)


@pytest.mark.parametrize(("role", "told"), [("latent", "latent differ by"), ("reconstruction_error", "n_error differ")])
def test_other_answers_than_those_kept_are_refused(models: Path, tmp_path: Path, role: str, told: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(models / "mine", folder)
    with np.load(folder / golden.FILE_NAME) as kept:
        arrays = {name: kept[name] for name in kept}
    images = arrays.pop("images")
    arrays[role] = arrays[role] + 0.1
    golden.write_answers(images, arrays, folder)
    described = manifest.read(models / "mine")
    files = described.files | {golden.FILE_NAME: manifest.sha256_of(folder / golden.FILE_NAME)}
    manifest.write(described.model_copy(update={"files": files}), folder)
    with pytest.raises(ModelFolderError, match=told):
        load_autoencoder(folder, CPU)


def test_a_graph_that_differs_is_refused() -> None:
    torch.manual_seed(0)
    one, other = (Autoencoder(AutoencoderSpec(size=16, latent=8, width=8)).eval() for _ in range(2))
    model = autoencoder_export.build_onnx(one).SerializeToString()
    images = drawn_images(9, 16, 16, 3)
    autoencoder_export.compare(one, model, images).check()
    with pytest.raises(DisagreementError, match="differs by"):
        autoencoder_export.compare(other, model, images).check()
