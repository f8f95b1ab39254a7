from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.drawings import encoded, write_folder
from tests.tiny_models import LABELS, write_model
from training.studies.versions import main


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise about each of the three colours."""
    from PIL import Image

    rng, files = np.random.default_rng(0), {}
    for label, colour in zip(LABELS, np.eye(3), strict=True):
        for number in range(40):
            pixels = (colour * 120 + rng.integers(0, 100, (20, 20, 3))).astype(np.uint8)
            files[f"{label}/{number}.png"] = encoded(Image.fromarray(pixels))
    return write_folder(tmp_path_factory.mktemp("photos"), files)


def test_models_stand_beside_the_first(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "good")
    write_model(tmp_path / "mirrored", scale=-10.0)  # its greatest logit is the weakest colour's
    assert main(["--data", str(photos), "--models", str(tmp_path / "good"), str(tmp_path / "mirrored")]) == 0
    good, mirrored = [line for line in capsys.readouterr().out.splitlines() if "16 px" in line]
    assert good.split(" | ")[1].startswith("1.000")
    assert mirrored.split(" | ")[1].startswith(".000")
    assert mirrored.split(" | ")[2].startswith("−1.000")


def test_other_labels_are_refused(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "other", labels=("cyan", "magenta", "yellow"))
    assert main(["--data", str(photos), "--models", str(tmp_path / "other")]) == 2
    assert "knows cyan, magenta, yellow; the images are blue, green, red" in capsys.readouterr().err
