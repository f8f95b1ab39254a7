from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import transparent_ground
from benchmarks.transparent_ground import LAID, laid
from tests.tiny_models import write_embedder


def test_a_drawing_is_mixed_with_its_ground() -> None:
    opacity = Image.fromarray(np.array([[0, 51, 255]], np.uint8))
    assert np.asarray(laid(opacity, 200, 100)).tolist() == [[100, 120, 200]]


def test_a_line_for_each_ground(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_embedder(tmp_path / "tiny_embedder")
    assert transparent_ground.main(["--count", "3", "--model", str(tmp_path / "tiny_embedder")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(LAID)
    assert lines[2] == "| 255 on 255 | 1.000 | 1.000 | 1.000 |"  # nothing but white


def test_a_model_that_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert transparent_ground.main(["--model", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
