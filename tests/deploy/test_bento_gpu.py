"""deploy/check_gpu.py: what it says where there is no GPU, and what it holds for agreement."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deploy.check_gpu import Agreement, Disagreement, compare, images_per_second
from phototriage.models.loading import load_any
from phototriage.runtime import providers
from phototriage.settings import Settings
from tests.running_server import ROOT
from tests.scored_models import write_autoencoder
from tests.tiny_models import write_model

CPU = Settings(provider="cpu", threads=1)


def test_agrees_with_itself(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    model = load_any(tmp_path / "tiny", CPU)
    found = compare(model, load_any(tmp_path / "tiny", CPU), count=3)
    assert found.difference == 0
    assert found.least_correlation == pytest.approx(1, abs=1e-9)


def test_answers_that_are_off_by_a_hundredth_disagree(tmp_path: Path) -> None:
    """Logits are the mean colour times the scale, so all of them are off by the same share."""
    write_model(tmp_path / "tiny", scale=10)
    write_model(tmp_path / "off", scale=10.1)
    models = [load_any(tmp_path / name, CPU) for name in ("tiny", "off")]
    with pytest.raises(Disagreement, match=r"tiny: answers differ by 0\.01 of the largest, the limit is 0\.005"):
        compare(models[0], models[1], count=3)


def test_an_autoencoder_has_no_gradient_to_compare(tmp_path: Path) -> None:
    write_autoencoder(tmp_path / "drawn")
    model = load_any(tmp_path / "drawn", CPU)
    assert compare(model, model, count=3) == Agreement(0, None)


def test_counts_images_not_runs() -> None:
    images = np.zeros((16, 1, 1, 3), np.uint8)
    found = images_per_second(lambda _: time.sleep(0.01), images, seconds=0.1)
    assert 16 * 20 < found <= 16 * 100  # a run takes at least .01 s, and not five times that


@pytest.mark.skipif(providers.cuda_devices() > 0, reason="there is a GPU: make check-gpu")
@pytest.mark.parametrize("options", [[], ["--device-only"]])
def test_fails_without_a_gpu_and_says_what_is_missing(models_directory: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "deploy.check_gpu", "--models", str(models_directory), *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("check_gpu: FAILED. The provider is set to cuda, but ")
    assert "no CUDA" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
