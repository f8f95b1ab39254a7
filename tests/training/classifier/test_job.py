"""`python -m training.classifier`, from a folder of images to a finished run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.shapes import shapes_folder
from training.classifier.job import main
from training.loop.loop import EpochResult
from training.loop.progress import TrainingProgress
from training.loop.run_folder import read_run

SMALL = ["--backbone", "small_cnn", "--epochs", "2", "--workers", "0", "--batch-size", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shapes_folder(tmp_path_factory.mktemp("photos"), 60)
    (folder / "disk" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return folder


def run(photos: Path, runs: Path, *more: str) -> int:
    return main(["--data", str(photos), "--name", "shapes", "--runs", str(runs), *SMALL, *more])


def test_a_run_records_what_the_export_needs(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, tmp_path, "--licence", "CC0") == 0
    printed = capsys.readouterr()
    assert "skipped disk/broken.png" in printed.err
    assert "images/s" in printed.err
    assert "accuracy" in printed.out
    record, network = read_run(tmp_path / "shapes")
    assert record.labels == ("disk", "square")
    assert record.featout is not None
    assert record.data.licence == "CC0"
    assert sum(record.data.images.values()) == 120
    assert {one.split for one in record.metrics} == {"val", "test"}
    assert torch.__version__.startswith(record.training.packages["torch"])
    assert not network.training
    assert list((tmp_path / "shapes" / "tensorboard").iterdir())
    assert (tmp_path / "shapes" / "erased_002.png").exists()
    assert str(photos) not in record.model_dump_json()
    assert record.training.command == (
        f"python -m training.classifier --data {photos.name} --name shapes --backbone small_cnn --epochs 2 "
        "--batch-size 32 --licence CC0"
    )


@pytest.mark.parametrize(
    ("arguments", "erasing"),
    [(["--featout", "none"], "none"), (["--featout", "single"], "featout"), (["--random-erasing"], "random")],
)
def test_other_arms(photos: Path, tmp_path: Path, arguments: list[str], erasing: str) -> None:
    assert run(photos, tmp_path, *arguments) == 0
    record, _ = read_run(tmp_path / "shapes")
    assert record.training.settings["fit"]["erasing"] == erasing
    assert (record.featout is None) == (erasing != "featout")


def test_the_test_split_can_be_left_for_later(photos: Path, tmp_path: Path) -> None:
    assert run(photos, tmp_path, "--skip-test") == 0
    before, _ = read_run(tmp_path / "shapes")
    assert {one.split for one in before.metrics} == {"val"}
    assert run(photos, tmp_path) == 0
    after, _ = read_run(tmp_path / "shapes")
    assert {one.split for one in after.metrics} == {"val", "test"}
    assert after.metrics[0] == before.metrics[0]


def test_a_finished_run_is_not_overwritten(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, tmp_path) == 0
    assert run(photos, tmp_path) == 2
    assert "--restart" in capsys.readouterr().err
    assert run(photos, tmp_path, "--restart") == 0


def test_an_unfinished_run_of_other_settings_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photos, tmp_path) == 0
    (tmp_path / "shapes" / "run.json").unlink()
    assert run(photos, tmp_path, "--seed", "1") == 2
    assert "other settings" in capsys.readouterr().err


def test_an_interrupted_run_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as interrupted:

        def epoch_then_interrupt(self: TrainingProgress, result: EpochResult) -> None:
            raise KeyboardInterrupt

        interrupted.setattr(TrainingProgress, "epoch", epoch_then_interrupt)
        assert run(photos, tmp_path) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "shapes" / "run.json").exists()
    assert run(photos, tmp_path) == 0
    assert "epoch 1/2 done" not in capsys.readouterr().err


def test_missing_data_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere", tmp_path) == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--size", "33"], "multiples of 8"),
        (["--weights", "packaged"], "only efficientnet_lite0"),
        (["--random-erasing", "--featout", "single"], "exclude each other"),
        (["--epochs", "-1"], "epochs"),
        (["--name", "Über"], "name"),
    ],
)
def test_nonsense_is_refused_with_usage(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(photos, tmp_path, *arguments)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_pretrained_backbone_starts_from_a_regression(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--quick", "--size", "64", "--epochs", "1", "--workers", "0", "--device", "cpu"]
    assert main(["--data", str(photos), "--name", "lite", "--runs", str(tmp_path), *quick]) == 0
    record, _ = read_run(tmp_path / "lite")
    names = {(one.name, one.split) for one in record.metrics}
    assert ("accuracy of a logistic regression on the frozen backbone", "test") in names
    assert ("accuracy", "test") in names
    assert "linear-probe initialisation" in capsys.readouterr().err
