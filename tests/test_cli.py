from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phototriage import triage
from phototriage.cli import main, overlay
from phototriage.runtime import Models
from tests.tiny_models import solid


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, models_directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    monkeypatch.setenv("PHOTOTRIAGE_THREADS", "1")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(solid((255, 0, 0), height=20, width=30))
    return path


def test_config_prints_every_setting(capsys: pytest.CaptureFixture[str], models_directory: Path) -> None:
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"PHOTOTRIAGE_MODELS_DIRECTORY={models_directory}" in lines
    assert "PHOTOTRIAGE_MAX_IMAGE_BYTES=20000000" in lines
    assert "PHOTOTRIAGE_DEFAULT_CLASSIFIER=" in lines


def test_models_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["tiny", "classifier"]


def test_classify_prints_what_the_api_answers(photo: Path, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(photo), "--top-k", "2"]) == 0
    expected = triage.classify(models, photo.read_bytes(), top_k=2).model_dump()
    assert json.loads(capsys.readouterr().out) == {"file": str(photo), **expected}


def test_a_bad_file_does_not_stop_the_rest(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no photo")
    assert main(["classify", str(text), str(tmp_path / "missing.jpg"), str(photo)]) == 1
    output = capsys.readouterr()
    assert [json.loads(line)["file"] for line in output.out.splitlines()] == [str(photo)]
    first, second = output.err.splitlines()
    assert first.startswith(f"phototriage: {text}: The file starts with")
    assert second == f"phototriage: {tmp_path / 'missing.jpg'}: No such file or directory"


def test_saliency_writes_the_mask(photo: Path, models: Models, tmp_path: Path) -> None:
    output = tmp_path / "mask.png"
    assert main(["saliency", str(photo), "-o", str(output), "--method", "featout"]) == 0
    with Image.open(output) as image:
        np.testing.assert_array_equal(np.asarray(image), triage.saliency(models, photo.read_bytes(), "featout").mask)


def test_saliency_overlays_the_photo(photo: Path, tmp_path: Path) -> None:
    output = tmp_path / "overlay.png"
    assert main(["saliency", str(photo), "-o", str(output), "--overlay"]) == 0
    with Image.open(output) as image:
        assert (image.mode, image.size) == ("RGB", (30, 20))


def test_saliency_of_an_unknown_label(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "mask.png"
    assert main(["saliency", str(photo), "-o", str(output), "--target", "pink"]) == 1
    assert "has no label 'pink'" in capsys.readouterr().err
    assert not output.exists()


def test_overlay_reddens_by_the_mask() -> None:
    photo = np.full((1, 3, 3), 100, np.uint8)
    mask = np.array([[0, 255, 51]], np.uint8)
    assert overlay(photo, mask).tolist() == [[[100, 100, 100], [193, 40, 40], [119, 88, 88]]]


@pytest.mark.parametrize(("name", "value"), [("MODELS_DIRECTORY", "/nowhere"), ("THREADS", "no")])
def test_what_keeps_a_server_from_starting_exits_with_2(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"PHOTOTRIAGE_{name}", value)
    assert main(["classify", str(photo)]) == 2
    assert value in capsys.readouterr().err
