"""The training loop: it learns, repeats, resumes exactly, and leaves alone what is frozen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from phototriage.images.input_config import InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from tests.shapes import shapes_folder
from tests.training.silent import Silent
from training.classifier.fit import Fit, FitSettings
from training.data.loading import Dataset, load
from training.loop.compute import Compute
from training.networks.classifier import Classifier, NetworkSpec

RULE = InputConfig(height=32, width=32, colour="rgb", resize="bicubic", antialias=True, aspect="stretch")
FEATOUT = FitSettings(
    epochs=3, batch_size=16, learning_rate=3e-3, ema_decay=0.8, erasing="featout", featout=FeatOutConfig()
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(shapes_folder(tmp_path_factory.mktemp("shapes"), 60), progress=False)


def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(NetworkSpec(backbone="small_cnn", classes=2))


def fit(
    shapes: Dataset, settings: FitSettings, folder: Path | None = None, workers: int = 0
) -> tuple[Fit, Classifier, Silent]:
    model, watcher = network(), Silent()
    train = [int(i) for i in shapes.indices("train")]
    val = [int(i) for i in shapes.indices("val")]
    one = Fit(
        model,
        shapes,
        train,
        val,
        RULE,
        settings,
        compute=Compute(workers=workers),
        watcher=watcher,
        folder=folder,
    )
    return one, model, watcher


def same(left: Classifier, right: Classifier) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_learns(shapes: Dataset) -> None:
    one, _, _ = fit(shapes, FEATOUT.model_copy(update={"epochs": 6, "augmentation": False}))
    epochs = one.run()
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert max(epoch.val_accuracy for epoch in epochs) >= 0.8


def test_a_seed_repeats_and_another_differs(shapes: Dataset) -> None:
    models = []
    for seed in (1, 1, 2):
        one, model, _ = fit(shapes, FEATOUT.model_copy(update={"epochs": 2, "seed": seed}))
        one.run()
        models.append(model)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


@pytest.mark.parametrize("at", [(0, 2), (1, 1), (1, None)])
def test_a_stopped_training_goes_on_exactly(shapes: Dataset, tmp_path: Path, at: tuple[int, int | None]) -> None:
    undisturbed, expected, _ = fit(shapes, FEATOUT)
    history = undisturbed.run()
    stop_at = (at[0], at[1] or len(undisturbed.plan(1)))  # None: behind the last step
    stopped, _, _ = fit(shapes, FEATOUT, tmp_path)
    stopped.run(stop=lambda epoch, step: (epoch, step) == stop_at)
    assert stopped.position == stop_at
    resumed, model, _ = fit(shapes, FEATOUT, tmp_path)
    again = resumed.run()
    assert same(model, expected)
    assert [replace(epoch, seconds=0) for epoch in again] == [replace(epoch, seconds=0) for epoch in history]


def test_a_checkpoint_of_the_old_layout_is_gone_on_with(shapes: Dataset, tmp_path: Path) -> None:
    fit(shapes, FEATOUT, tmp_path)[0].run(stop=lambda epoch, step: (epoch, step) == (1, 2))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["epoch"], state["step"] = state.pop("position")
    for name in ("network", "average"):
        state[name] = {key.replace("backbone.", "trunk."): value for key, value in state[name].items()}
    torch.save(state, tmp_path / "checkpoint.pt")
    resumed, model, _ = fit(shapes, FEATOUT, tmp_path)
    resumed.run()
    expected, whole, _ = fit(shapes, FEATOUT)
    expected.run()
    assert same(model, whole)


def test_worker_processes_change_nothing(shapes: Dataset) -> None:
    models = []
    for workers in (0, 2):
        one, model, _ = fit(shapes, FEATOUT.model_copy(update={"epochs": 1}), workers=workers)
        one.run()
        models.append(model)
    assert same(*models)


def test_the_best_epoch_is_kept(shapes: Dataset, tmp_path: Path) -> None:
    one, model, watcher = fit(shapes, FEATOUT, tmp_path)
    epochs = one.run()
    best = max(epochs, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
    assert [epoch for epoch in epochs if epoch.best][-1] == best
    assert watcher.epochs == epochs
    kept = torch.load(tmp_path / "best.pt", weights_only=True)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_the_first_epoch_is_clean_and_later_ones_are_not(shapes: Dataset) -> None:
    one, _, watcher = fit(shapes, FEATOUT.model_copy(update={"erasing_probability": 1.0, "epochs": 4}))
    one.run()
    assert watcher.changed[0] is False
    assert any(watcher.changed[1:])


def test_frozen_stages_and_statistics_stay(shapes: Dataset) -> None:
    settings = FEATOUT.model_copy(update={"epochs": 2, "frozen_stages": 3, "frozen_norms": True})
    one, model, _ = fit(shapes, settings)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one.run()
    after = model.state_dict()
    stages = tuple(f"backbone.stages.{stage}." for stage in range(3))
    frozen = [name for name in before if name.startswith(stages)]
    statistics = [name for name in before if "running" in name or "num_batches" in name]
    assert frozen
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in frozen + statistics)
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_random_erasing_trains_too(shapes: Dataset) -> None:
    one, _, watcher = fit(shapes, FitSettings(epochs=1, batch_size=16, erasing="random"))
    assert len(one.run()) == 1
    assert watcher.changed == [True]


def test_without_validation_the_last_epoch_is_kept(shapes: Dataset) -> None:
    one, _, _ = fit(shapes, FEATOUT.model_copy(update={"epochs": 2}))
    one.val = ()
    assert [epoch.best for epoch in one.run()] == [True, True]
