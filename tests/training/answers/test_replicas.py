"""Replicas of classifiers: which have some, and that the last stages alone are tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from phototriage.model_folder import manifest
from phototriage.settings import Settings
from tests.shapes import shapes_folder
from tests.tiny_models import write_model
from training.answers.replicas import TUNED_STAGES, choosing, train_replicas, tune
from training.classifier.job import build
from training.classifier.options import parse
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import Compute


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(shapes_folder(tmp_path_factory.mktemp("shapes"), 12))


def test_a_classifier_that_another_command_made_has_none(
    shapes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "tiny")
    described = manifest.read(tmp_path / "tiny")
    settings = Settings(provider="cpu")
    assert train_replicas(shapes, range(len(shapes)), described, settings, Compute(), tmp_path) == []
    assert "note: tiny has no replicas, since another command made it" in capsys.readouterr().err


def test_the_last_stages_alone_are_tuned(shapes: Dataset) -> None:
    _, options = parse(["--data", "x", "--name", "mine", "--size", "32", "--batch-size", "8", "--precision", "float32"])
    network = build(options, len(shapes.labels))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rows = list(range(len(shapes)))
    tune(network, shapes, rows, options, Compute())
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    stages = len(network.stages())
    tuned = [f"backbone.stages.{number}." for number in range(stages - TUNED_STAGES, stages)]
    assert changed
    assert all(name.startswith((*tuned, "head.")) for name in changed)
    assert not any("running_" in name for name in changed)  # published statistics stay
    assert np.isfinite([float(value.float().abs().max()) for value in after.values()]).all()


def test_no_class_loses_its_only_image() -> None:
    labels = np.array([0, 0, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 0])
    assert np.flatnonzero(choosing(labels)).tolist() == [0, 14]  # not 7, the only one of its class
    assert not choosing(np.array([3])).any()
