"""Settings, weights and options by the names that they had before are understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from training.autoencoder.fit import AutoencoderSettings
from training.classifier.fit import FitSettings
from training.classifier.options import parse as parse_classifier
from training.embedder.fit import EmbedderSettings
from training.embedder.options import parse as parse_embedder
from training.loop.run_folder import RunError, claim_folder
from training.networks.autoencoder import Autoencoder, AutoencoderSpec
from training.networks.classifier import Classifier, NetworkSpec
from training.networks.embedder import Embedder, EmbedderSpec
from training.references.cross_fit import ReferenceSettings


def test_settings_of_manifests() -> None:
    assert FitSettings.model_validate({"epochs": 1, "rate": 0.25, "average": 0.5}) == FitSettings(
        epochs=1, learning_rate=0.25, ema_decay=0.5
    )
    assert EmbedderSettings.model_validate(
        {"rate": 0.25, "head_rate": 0.125, "average": 0.5, "couples": 7}
    ) == EmbedderSettings(learning_rate=0.25, head_learning_rate=0.125, ema_decay=0.5, hard_negative_pairs=7)
    assert AutoencoderSettings.model_validate({"epochs": 1, "rate": 0.25}).learning_rate == 0.25
    assert NetworkSpec.model_validate({"trunk": "small_cnn", "classes": 2}).backbone == "small_cnn"


@pytest.mark.parametrize("network", ["classifier", "embedder", "autoencoder"])
def test_weights(network: str) -> None:
    torch.manual_seed(0)

    def made() -> torch.nn.Module:
        if network == "classifier":
            return Classifier(NetworkSpec(backbone="small_cnn", classes=2))
        if network == "embedder":
            return Embedder(EmbedderSpec(dimension=2))
        return Autoencoder(AutoencoderSpec(size=16))

    saved, loaded = made(), torch.optim.swa_utils.AveragedModel(made())
    state = {name.replace("backbone.", "trunk."): value for name, value in saved.state_dict().items()}
    assert any(name.startswith("trunk.") for name in state)
    loaded.module.load_state_dict(state)
    for name, value in loaded.module.state_dict().items():
        assert torch.equal(value, saved.state_dict()[name])
    # Inside of the moving average, as a checkpoint has them.
    averaged = {f"module.{name}": value for name, value in state.items()} | {"n_averaged": torch.tensor(3)}
    assert not loaded.load_state_dict(averaged).missing_keys


def test_options() -> None:
    common = ["--data", "photos", "--name", "x"]
    old, new = (
        parse_classifier([*common, backbone, "small_cnn", rate, "0.25"])[1]
        for backbone, rate in (("--trunk", "--rate"), ("--backbone", "--learning-rate"))
    )
    assert old == new
    assert new.fit.learning_rate == 0.25
    before, now = (parse_embedder([*common, pairs, "7"])[1] for pairs in ("--couples", "--hard-negative-pairs"))
    assert before == now
    assert now.fit.hard_negative_pairs == 7


def test_an_unfinished_run_goes_on_under_the_new_names(tmp_path: Path) -> None:
    before = {"trunk": "small_cnn", "fit": {"rate": 0.25, "average": 0.5, "couples": 7}, "data": "abc"}
    now = {"backbone": "small_cnn", "fit": {"learning_rate": 0.25, "ema_decay": 0.5, "hard_negative_pairs": 7}}
    (tmp_path / "options.json").write_text(json.dumps(before, indent=2, sort_keys=True))
    claim_folder(tmp_path, now | {"data": "abc"}, restart=False)
    with pytest.raises(RunError, match="other settings"):
        claim_folder(tmp_path, now | {"data": "abd"}, restart=False)


def test_kept_reference_networks_are_found() -> None:
    settings = '{"size":64,"epochs":12,"batch_size":32,"rate":0.003,"bf16":false}'
    assert ReferenceSettings().identity() == settings


def test_options_that_are_damaged_are_no_other_trainings(tmp_path: Path) -> None:
    (tmp_path / "options.json").write_text("")
    with pytest.raises(RunError, match="--restart"):
        claim_folder(tmp_path, {"data": "abc"}, restart=False)
