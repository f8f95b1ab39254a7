"""The study of how many stages must learn, on a handful of drawings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawings import drawing, encoded, write_folder
from training.studies.tuned_stages import main, table


def test_a_row_for_each_count_which_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_folder(tmp_path / "photos", {f"{i:02}.png": encoded(drawing(i)) for i in range(30)})
    arguments = [
        *("--data", str(photos), "--name", "stages", "--runs", str(tmp_path / "runs"), "--val-keys", r"/0\d"),
        *("--size", "64", "--small-size", "32", "--epochs", "1", "--hard-negative-pairs", "3", "--dimension", "8"),
        *("--workers", "0", "--device", "cpu", "--precision", "float32", "--frozen", "9", "8"),
    ]
    assert main(arguments) == 0
    first = capsys.readouterr()
    assert "| 0 of 9 |" in first.out
    assert "| 1 of 9 |" in first.out
    assert "epoch 1/1" in first.err
    assert main(arguments) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "epoch 1/1" not in again.err


def test_the_table_tells_how_many_learn() -> None:
    row = {"everyday_f1": 0.9, "everyday_precision": 0.95, "hard_f1": 0.8, "hard_precision": 0.85, "seconds": 61.4}
    assert table({4: row}).splitlines()[-1] == "| 5 of 9 | 0.9000 | 0.9500 | 0.8000 | 0.8500 | 61 |"
