"""The study of composite images, small: tables, pictures, going on; and the study of debateable ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.shapes import shapes_folder
from training.studies import composites as study
from training.studies import debateable


def test_the_study_prints_tables_and_leaves_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes_folder(tmp_path / "shapes", 110)
    arguments = ["--data", str(tmp_path / "shapes"), "--name", "study", "--runs", str(tmp_path / "runs")]
    arguments += ["--seeds", "2", "--epochs", "2", "--size", "16", "--width", "4", "--latent", "8", "--workers", "0"]
    arguments += ["--prevalence", "0.2", "--train-images", "150"]
    assert study.main(arguments) == 0
    out = capsys.readouterr().out
    for recipe in study.RECIPES:
        assert f"**{recipe}**" in out
        for kind in ("histograms", "tail"):
            with Image.open(tmp_path / f"runs/study/{recipe}_{kind}.png") as picture:
                assert min(picture.size) > 100
    assert out.count("| fusion of metrics and latent | ") == 3
    assert out.count("best trivial feature") >= 3
    assert "±" in out
    assert study.main(arguments) == 0
    again = capsys.readouterr()
    assert again.out == out
    assert "seed" not in again.err


def test_figures_of_a_perfect_and_of_a_constant_score() -> None:
    is_composite = np.arange(100) < 20
    auroc, precision, correlation = study.figures_of(is_composite + np.linspace(0, 0.5, 100), is_composite)
    assert (auroc, precision) == pytest.approx((1, 1))
    assert correlation == pytest.approx(1, abs=0.01)
    assert study.figures_of(np.zeros(100), is_composite) == (0.5, 0.2, 0)


def test_between_by_hand() -> None:
    centres = np.array([[0.0, 0], [4, 0]])
    found = debateable.between(np.array([[2.0, 0], [1, 0], [2, 30]]), centres)
    assert found.difference == pytest.approx([0, 0.5, 0])
    assert found.distances[:, 0] == pytest.approx([0.5, 0.25, np.hypot(2, 30) / 4])


def test_debateable_images_of_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes_folder(tmp_path / "shapes", 60)
    arguments = ["--data", str(tmp_path / "shapes"), "--name", "study", "--runs", str(tmp_path / "runs")]
    assert debateable.main([*arguments, "--epochs", "15", "--workers", "0", "--tolerance", "0.1", "10"]) == 0
    out = capsys.readouterr().out
    assert "| 0.1 | " in out
    count, of, whole, *_ = out.split("| 10 | ")[1].split()
    assert (count, of) == (whole, "of")  # no difference is as great as ten distances
    assert "89,890 parameters" in out
    with Image.open(tmp_path / "runs/study/debateable.png") as picture:
        assert picture.width == debateable.COLUMNS * debateable.CELL
