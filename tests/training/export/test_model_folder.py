"""`python -m training.export`: a model folder that serves the trained network, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from phototriage.images.pixels import ImageLimits, prepare
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import MainRole
from phototriage.models.loading import load_classifier
from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from tests.drawings import encoded
from tests.shapes import shape, shapes_folder
from tests.tiny_models import write_model
from training.classifier.job import main as train
from training.export import model_folder as exporting
from training.export.agreement import Explain, Floats, Images
from training.export.model_folder import main
from training.export.taking_up import taking_up
from training.loop.run_folder import read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = shapes_folder(tmp_path_factory.mktemp("photos"), 60)
    folder = tmp_path_factory.mktemp("runs")
    small = ["--backbone", "small_cnn", "--epochs", "2", "--workers", "0", "--device", "cpu"]
    assert train(["--data", str(photos), "--name", "shapes", "--runs", str(folder), *small]) == 0
    return folder


def export(runs: Path, models: Path, *more: str) -> int:
    return main(["--name", "shapes", "--runs", str(runs), "--models", str(models), *more])


@pytest.fixture(scope="module")
def exported(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with the run's model. Don't write to it."""
    models = tmp_path_factory.mktemp("models")
    assert export(runs, models) == 0
    return models


@pytest.fixture
def models(exported: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(exported, tmp_path / "models"))


def test_the_served_model_is_the_trained_network(runs: Path, exported: Path) -> None:
    model = load_classifier(exported / "shapes", Settings(threads=1))
    run, network = read_run(runs / "shapes")
    photo = encoded(shape("square", 1234, 50), "JPEG")
    pixels = prepare(photo, run.input, ImageLimits()).pixels[np.newaxis]
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()) / 255).numpy()
    np.testing.assert_allclose(model.logits(pixels), expected, atol=1e-4)


def test_the_folder_holds_everything_and_nothing_of_the_machine(runs: Path, exported: Path) -> None:
    folder = exported / "shapes"
    assert sorted(path.name for path in exported.iterdir()) == ["shapes"]
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "manifest.json", "golden.npz", "CARD.md"}
    described = manifest.read(folder)
    assert described.labels == ("disk", "square")
    assert described.default
    assert described.featout is not None
    card = (folder / "CARD.md").read_text()
    assert "disk, square" in card
    assert "| accuracy | " in card
    for text in (card, (folder / "manifest.json").read_text()):
        assert str(runs) not in text
        assert str(exported) not in text


def test_photos_can_be_given_for_the_comparison(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = shapes_folder(tmp_path / "photos", 5)
    assert export(runs, tmp_path / "models", "--check", str(photos)) == 0
    assert "n = 10" in capsys.readouterr().err


def test_a_graph_that_disagrees_is_not_written(
    runs: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (models / "shapes" / "manifest.json").read_bytes()
    honest = exporting.explainer

    def tampered(model: bytes, role: MainRole) -> Explain:
        explain = honest(model, role)

        def wrong(images: Images, weights: Floats) -> tuple[Floats, Floats]:
            logits, gradient = explain(images, weights)
            return logits, gradient[:, ::-1]

        return wrong

    monkeypatch.setattr(exporting, "explainer", tampered)
    assert export(runs, models) == 2
    assert "nothing was written" in capsys.readouterr().err
    assert (models / "shapes" / "manifest.json").read_bytes() == before
    assert [path.name for path in models.iterdir()] == ["shapes"]


def test_exporting_again_replaces_the_folder(runs: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = manifest.read(models / "shapes")
    (models / "shapes" / "stray.txt").write_text("of an older version")
    assert export(runs, models) == 0
    assert f"version {first.version}, as it was, the default\n" in capsys.readouterr().out
    assert manifest.read(models / "shapes").version == first.version
    assert not (models / "shapes" / "stray.txt").exists()


def test_an_unknown_run_is_told(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name", "nothing", "--runs", str(runs), "--models", str(tmp_path)]) == 2
    assert "no finished training" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_export_says_whose_place_it_takes_and_who_answers(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(tmp_path))
    write_model(tmp_path / "tiny", name="tiny", default=True)
    older = write_model(tmp_path / "shapes", name="shapes").version
    assert export(runs, tmp_path) == 0
    version = manifest.read(tmp_path / "shapes").version
    first, note, last = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path / 'shapes'}: version {version}, in place of version {older}"
    assert note.startswith("note: where no classifier is named, tiny goes on answering")
    assert last == taking_up(tmp_path)
    settings = Settings(models_directory=tmp_path, threads=1)
    assert load_models(settings).classifier().name == "tiny"
    assert export(runs, tmp_path, "--default") == 0
    assert f"{tmp_path / 'tiny'}: version " in capsys.readouterr().out
    assert load_models(settings).classifier().name == "shapes"


def test_figures_measured_elsewhere_go_into_manifest_and_card(runs: Path, tmp_path: Path) -> None:
    measured = {"name": "recall of cats", "set": "mine", "split": "test", "n": 7, "value": 0.5, "interval": [0.2, 0.8]}
    (tmp_path / "measured.json").write_text(json.dumps([measured]))
    assert export(runs, tmp_path / "models", "--metrics", str(tmp_path / "measured.json")) == 0
    described = manifest.read(tmp_path / "models" / "shapes")
    assert described.metrics[0].model_dump(mode="json") == measured
    assert len(described.metrics) == 1 + len(read_run(runs / "shapes")[0].metrics)
    card = (tmp_path / "models" / "shapes" / "CARD.md").read_text()
    assert "| recall of cats | mine, test | 7 | 0.5000 | 0.2000 to 0.8000 |" in card


@pytest.mark.parametrize("text", ["", "{}", '[{"name": "x"}]', None])
def test_what_is_no_list_of_figures_is_refused(
    runs: Path, tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "measured.json").write_text(text)
    assert export(runs, tmp_path / "models", "--metrics", str(tmp_path / "measured.json")) == 2
    assert "holds no list of metrics" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
