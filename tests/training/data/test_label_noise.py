"""Wrong labels: as many as asked for, of the kind asked for, and counted right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.shapes import shapes_folder
from training.data.label_noise import found_in_budget, margin_doubt, with_noise
from training.studies.label_noise import main


def test_symmetric_and_pair_noise() -> None:
    labels = np.arange(1000) % 5
    rng = np.random.default_rng(0)
    noisy, wrong = with_noise(labels, 5, 0.1, "symmetric", rng)
    assert wrong.sum() == 100
    assert ((noisy != labels) == wrong).all()
    assert len(np.unique((noisy - labels)[wrong] % 5)) == 4
    noisy, wrong = with_noise(labels, 5, 0.1, "pair", rng)
    assert set((noisy - labels)[wrong] % 5) == {1}


def test_found_within_the_budget() -> None:
    wrong = np.array([True, True, False, False])
    assert found_in_budget(np.array([4.0, 3, 2, 1]), wrong) == 1
    assert found_in_budget(np.array([4.0, 1, 2, 3]), wrong) == 0.5
    assert found_in_budget(np.array([1.0, 2, 3, 4]), wrong) == 0


def test_margins() -> None:
    logits = np.array([[3.0, 1, 2], [3, 1, 2]])
    assert margin_doubt(logits, np.array([0, 1])).tolist() == [-1, 2]


def test_the_study_finds_wrong_labels_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes_folder(tmp_path / "shapes", 100)
    arguments = ["--data", str(tmp_path / "shapes"), "--name", "study", "--runs", str(tmp_path / "runs")]
    more = ["--seeds", "1", "--epochs", "10", "--size", "24", "--workers", "0"]
    assert main([*arguments, *more]) == 0
    out = capsys.readouterr().out
    assert "| logit margin averaged over epochs | " in out
    kept = json.loads((tmp_path / "runs/study/seed_0.json").read_text(encoding="utf-8"))
    assert kept["logit margin averaged over epochs"]["auroc"] > 0.6  # .5 by chance
    assert main([*arguments, *more]) == 0
    again = capsys.readouterr()
    assert again.out == out
    assert "epoch" not in again.err
    assert main([*arguments, "--epochs", "3"]) == 2
    assert "other settings" in capsys.readouterr().err
