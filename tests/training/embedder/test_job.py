"""`python -m training.embedder`, from a folder of photos to a served model, and its threshold tuned anew."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageOps

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.model_folder import manifest
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from tests.drawings import drawing, encoded, write_folder
from tests.training.silent import Silent
from training import tune_threshold
from training.data.photos import load_photos
from training.embedder import job as embedder
from training.embedder.discriminant_head import labelled_pairs
from training.embedder.fit import EmbedderFit, EmbedderSettings
from training.embedder.job import main
from training.embedder.options import parse
from training.export import model_folder as export
from training.loop.compute import Compute
from training.loop.run_folder import read_embedder_run
from training.networks.embedder import Embedder, EmbedderSpec
from training.pairs.thresholds import TuningError
from training.pairs.thresholds import tune as tune_decision

SMALL = [
    *("--size", "64", "--epochs", "2", "--small-epochs", "1", "--small-size", "32", "--hard-negative-pairs", "4"),
    *("--dimension", "16", "--frozen-stages", "7", "--workers", "0", "--device", "cpu", "--precision", "float32"),
]
LICENCE = ("--licence", "CC0")
VAL = r"/(0[0-9]|1[0-9])\."


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {f"{i:02}.jpg": encoded(drawing(i, (96, 72)), "JPEG", quality=90) for i in range(60)}
    folder = write_folder(tmp_path_factory.mktemp("my_photos"), files)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
    return folder


def train(photos: Path, runs: Path, *more: str) -> int:
    return main(["--data", str(photos), "--name", "mine", "--runs", str(runs), "--val-keys", VAL, *SMALL, *more])


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with a trained embedder. Don't write to it."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(photos, runs, *LICENCE) == 0
    return runs


@pytest.fixture(scope="module")
def models(photos: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with that embedder exported."""
    models = tmp_path_factory.mktemp("models")
    record, network = read_embedder_run(runs / "mine")
    assert not network.training
    assert str(photos) not in record.model_dump_json()
    assert record.data.images == {"train": 40, "val": 20}
    assert record.training.command.startswith(f"python -m training.embedder --data {photos.name} --name mine")
    assert export.main(["--name", "mine", "--runs", str(runs), "--models", str(models)]) == 0
    return models


def test_the_exported_model_is_served_with_its_decision(models: Path) -> None:
    model = load_embedder(models / "mine", Settings(provider="cpu"))
    assert model.manifest.kind == "embedder"
    assert model.manifest.default
    assert model.manifest.decision is not None
    assert -1 < model.manifest.decision.threshold < 1
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    embeddings = model.forward(images)
    assert embeddings.shape == (3, 16)
    assert model.embed(images).shape == (3, sum(model.manifest.embedding_parts))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    card = (models / "mine" / "CARD.md").read_text(encoding="utf-8")
    assert f"duplicates from a similarity of | {model.manifest.decision.threshold}" in card


def test_a_repost_is_nearer_than_another_photo(models: Path, photos: Path) -> None:
    """Even the little that so short a training learns tells mirrored photos from others."""
    model = load_embedder(models / "mine", Settings(provider="cpu"))
    pixels = np.stack([np.asarray(drawing(i, (64, 64))) for i in range(20)])
    plain, mirrored = model.forward(pixels), model.forward(pixels[:, :, ::-1].copy())
    similarity = plain @ mirrored.T
    assert (similarity.argmax(1) == np.arange(20)).mean() >= 0.9


def test_a_finished_training_is_not_overwritten(
    photos: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.json").write_text("{}")
    assert train(photos, tmp_path) == 2
    printed = capsys.readouterr().err
    assert "finished training" in printed
    assert "skipped" in printed
    assert "broken.jpg" in printed


@pytest.mark.parametrize(("scores", "kept"), [((2.0, 3.0), True), ((2.0, 1.0), False), ((2.0, 2.0), False)])
def test_the_last_head_is_taken_if_validation_likes_it_better(
    photos: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: tuple[float, float],
    kept: bool,
) -> None:
    # As if it had been stopped between its last epoch and its last head.
    shutil.copytree(runs / "mine", tmp_path / "mine")
    for name in ("run.json", embedder.LAST_HEAD):
        (tmp_path / "mine" / name).unlink()
    trained: list[torch.Tensor] = []

    def doubled(network: Embedder, *given: Any, most: int, **named: Any) -> None:
        """Of the last head all weights double, which no embedding shows."""
        assert most == embedder.LAST_HEAD_PHOTOS  # the first is there already
        trained.append(network.head.weight.detach().clone())
        with torch.no_grad():
            network.head.weight.mul_(2)
            network.head.bias.mul_(2)

    given = iter(scores)
    monkeypatch.setattr(embedder, "fit_head", doubled)
    monkeypatch.setattr(embedder.Job, "_score", lambda job, validation: next(given))
    assert train(photos, tmp_path, *LICENCE) == 0
    record, network = read_embedder_run(tmp_path / "mine")
    assert torch.equal(network.head.weight, trained[0] * (2 if kept else 1))
    # Started again without its last file, it does nothing of that twice.
    (tmp_path / "mine" / "run.json").unlink()
    assert train(photos, tmp_path, *LICENCE) == 0
    again, network = read_embedder_run(tmp_path / "mine")
    assert len(trained) == 1
    assert torch.equal(network.head.weight, trained[0] * (2 if kept else 1))
    assert again.decision == record.decision
    # Nor for another aim, which decides the threshold alone.
    (tmp_path / "mine" / "run.json").unlink()
    assert train(photos, tmp_path, *LICENCE, "--aim", "precision=0.5") == 0
    assert len(trained) == 1
    assert read_embedder_run(tmp_path / "mine")[0].decision.tuning.aim == "precision=0.5"


def test_layout_rescoring_is_taken_where_it_pays(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decided(rescored: float, plain: float) -> LayoutRescoring | None:
        shutil.rmtree(tmp_path / "mine", ignore_errors=True)
        given = iter((rescored, plain))
        monkeypatch.setattr(embedder, "best_f1", lambda *_: next(given))
        monkeypatch.setattr(embedder.Job, "_score", lambda job, validation: 0.0)
        assert train(photos, tmp_path, "--epochs", "1") == 0
        return read_embedder_run(tmp_path / "mine")[0].decision.layout_rescoring

    assert decided(0.9, 0.8) == embedder.RESCORING
    assert decided(0.9, 0.9) is None


def test_a_training_that_was_stopped_goes_on_exactly(photos: Path, tmp_path: Path) -> None:
    def fit(folder: Path) -> EmbedderFit:
        torch.manual_seed(0)
        network = Embedder(EmbedderSpec(dimension=8))
        network.backbone.load_packaged()
        _, options = parse(["--data", str(photos), "--name", "x", *SMALL])
        found = load_photos([photos], val_keys=VAL, progress=False)
        numbers = found.numbers("val")[:6]
        pairs = labelled_pairs(network, found, numbers, [""] * 6, options.rule, Compute(), seed=0)
        settings = EmbedderSettings.model_validate(options.fit.model_dump() | {"memory": 64})
        return EmbedderFit(
            network, found, pairs, options.rule, settings, compute=Compute(), watcher=Silent(), folder=folder
        )

    whole = fit(folder_in(tmp_path, "whole"))
    epochs = whole.run()
    # In each of the two stages, and behind the last step of an epoch.
    for stop_at in ((0, 2), (1, 1), (1, len(whole.plan(1)))):
        parted = folder_in(tmp_path, f"parted at {stop_at}")
        stopped = fit(parted)
        stopped.run(stop=lambda epoch, step, stop_at=stop_at: (epoch, step) == stop_at)  # type: ignore[misc]
        assert stopped.position == stop_at
        again = fit(parted)
        assert [replace(one, seconds=0) for one in again.run()] == [replace(one, seconds=0) for one in epochs]
        for name, value in whole.network.state_dict().items():
            torch.testing.assert_close(again.network.state_dict()[name], value, rtol=0, atol=0)


def folder_in(path: Path, name: str) -> Path:
    (path / name).mkdir()
    return path / name


def write_pairs(path: Path, rows: list[tuple[str, ...]], header: str = "path_a,path_b,is_same") -> Path:
    with path.open("w", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([tuple(header.split(",")), *rows])
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 photos with their mirror images, beside as many pairs of different ones."""
    rows: list[tuple[str, ...]] = []
    for i in range(40):
        drawing(100 + i, (96, 72)).save(tmp_path / f"{i}.png")
        ImageOps.mirror(drawing(100 + i, (96, 72))).save(tmp_path / f"{i}m.png")
        rows += [(f"{i}.png", f"{i}m.png", "1"), (f"{i}.png", f"{(i + 1) % 40}.png", "0")]
        rows += [(f"{i}.png", f"{(i + step) % 40}m.png", "0") for step in (3, 7, 11, 20)]
    return write_pairs(tmp_path / "pairs.csv", rows)


def tune(models: Path, table: Path, *more: str) -> int:
    return tune_threshold.main(["--model", "mine", "--pairs", str(table), "--models", str(models), *more])


def test_a_threshold_is_tuned_without_training(models: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = manifest.read(models / "mine")
    assert tune(models, table, "--folds", "2") == 0
    after = manifest.read(models / "mine")
    assert after.decision is not None
    assert after.version != before.version
    assert after.files == before.files
    assert after.decision.tuning.pairs == 240
    assert after.decision.tuning.duplicates == 40
    assert after.decision.tuning.data == "pairs.csv"
    assert f"| {after.decision.threshold}, for f1 |" in (models / "mine" / "CARD.md").read_text(encoding="utf-8")
    assert tune(models, table, "--folds", "2", "--aim", "precision=1") == 0
    strict = manifest.read(models / "mine").decision
    assert strict is not None
    assert strict.threshold >= after.decision.threshold
    load_embedder(models / "mine", Settings(provider="cpu"))
    assert "held-out folds" in capsys.readouterr().out


def test_similarities_that_tell_nothing_are_no_decision() -> None:
    same = np.arange(40) % 4 == 0
    folds = np.repeat(np.arange(40) // 20, 2).reshape(40, 2)
    with pytest.raises(TuningError, match="no more alike"):
        tune_decision(np.where(same, 0.1, 0.9), same, folds, "f1", data="drawn", sha256="0" * 64)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("0.png", "0m.png", "1")], "path_a,path_b,is_same", "one class"),
        ([("0.png", "gone.png", "1"), ("0.png", "1.png", "0")], "path_a,path_b,is_same", "missing in line 2"),
        ([("0.png", "0m.png", "yes"), ("0.png", "1.png", "0")], "path_a,path_b,is_same", "line 2"),
        ([("0.png", "0m.png")], "path_a,path_b", "no column 'is_same'"),
        ([("0.png", "1.png", "2.png", "1")], "path_a,path_b,path_b,is_same", "2 columns 'path_b'"),
        ([("0.png", "", "1"), ("0.png", "1.png", "0")], "path_a,path_b,is_same", "is empty in line 2"),
        ([("0.png", "1.png", "2.png", "1")], "path_a,path_b,is_same", "line 2 has 4 cells"),
        ([("caf\udce9.png", "1.png", "1")], "path_a,path_b,is_same", "line 2 isn't UTF-8"),
        ([("0.png;1.png;1",)], "path_a;path_b;is_same", "separated by semicolons"),
        ([], "path_a,path_b,is_same", "no row below its header"),
        ([("0" * 300, "0m.png", "1"), ("0.png", "1.png", "0")], "path_a,path_b,is_same", "missing in line 2"),
        (
            [("0.png", "0m.png", "1", "a"), ("1.png", "2.png", "0", "a"), ("0m.png", "3.png", "0", "b")],
            "path_a,path_b,is_same,fold",
            "in two folds, from line 4 on",
        ),
        (
            [("0.png", "0m.png", "1", "a"), ("1.png", "2.png", "0", "")],
            "path_a,path_b,is_same,fold",
            "empty in line 3",
        ),
        ([("0.png", "0m.png", "1"), ("text.png", "1.png", "0")], "path_a,path_b,is_same", "can't be read in line 3"),
    ],
)
def test_tables_that_would_mislead_are_refused(
    models: Path,
    table: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[tuple[str, ...]],
    header: str,
    message: str,
) -> None:
    (table.parent / "text.png").write_text("no image")
    before = manifest.read(models / "mine").version
    assert tune(models, write_pairs(table.parent / "bad.csv", rows, header)) == 2
    assert message in capsys.readouterr().err
    assert manifest.read(models / "mine").version == before


def test_an_unknown_aim_is_refused(models: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(models, table, "--aim", "recall") == 2
    assert "f1, or precision=P" in capsys.readouterr().err
