from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import phototriage
from phototriage.cli.command import main
from phototriage.cli.saliency import overlay
from phototriage.models.model_set import Models
from phototriage.triage import pipeline
from phototriage.triage.pipeline import TriageRequest
from tests.tiny_models import solid, write_model


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, models_directory: Path) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    monkeypatch.setenv("PHOTOTRIAGE_THREADS", "1")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(solid((255, 0, 0), height=20, width=30))
    return path


def test_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"phototriage {phototriage.__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    for command in (
        *("classify", "compare", "config", "difficulty", "duplicates", "index", "models", "rank", "saliency"),
        *("score", "serve", "triage"),
    ):
        assert re.search(rf"^    {command}\s+\w", told, re.MULTILINE), command


def test_config_prints_every_setting(capsys: pytest.CaptureFixture[str], models_directory: Path) -> None:
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"PHOTOTRIAGE_MODELS_DIRECTORY={models_directory}" in lines
    assert "PHOTOTRIAGE_MAX_IMAGE_BYTES=20000000" in lines
    assert "PHOTOTRIAGE_DEFAULT_CLASSIFIER=" in lines
    assert "PHOTOTRIAGE_DEFAULT_EMBEDDER=" in lines


def test_models_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    classifier, embedder = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert (classifier[:2], classifier[4]) == (["tiny", "classifier"], "red, green, blue")
    assert (embedder[:2], embedder[3:5]) == (["tiny_embedder", "embedder"], ["default", ""])
    assert classifier[5] == "trained on none, licence: CC0-1.0"


def test_classify_prints_what_the_api_answers(photo: Path, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(photo), "--top-k", "2"]) == 0
    expected = pipeline.classify(models, photo.read_bytes(), top_k=2).model_dump(exclude_none=True)
    assert json.loads(capsys.readouterr().out) == {"file": str(photo), **expected}


def test_of_several_classifiers_the_one_that_answers_is_told(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "several"
    write_model(directory / "shipped", name="shipped", default=True)
    write_model(directory / "mine", name="mine")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(directory))
    assert main(["classify", str(photo)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["model"]["name"] == "shipped"
    assert told.err.startswith("phototriage: where no classifier is named, shipped answers, of mine, shipped; ")
    assert main(["triage", str(photo), "--include", "classify"]) == 0
    assert "shipped answers" in capsys.readouterr().err
    assert main(["saliency", str(photo), "-o", str(tmp_path / "mask.png")]) == 0
    told = capsys.readouterr()
    assert "shipped answers" in told.err
    assert told.out == f"{tmp_path / 'mask.png'}: what shipped looked at\n"
    assert main(["classify", str(photo), "--model", "mine"]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out)["model"]["name"], told.err) == ("mine", "")
    monkeypatch.setenv("PHOTOTRIAGE_DEFAULT_CLASSIFIER", "mine")  # what the note proposes
    assert main(["classify", str(photo)]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["name"] == "mine"


def test_triage_prints_what_the_api_answers(photo: Path, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triage", str(photo), "--include", "classify,saliency", "--target", "blue", "--top-k", "1"]) == 0
    question = TriageRequest(("classify", "saliency"), target="blue", top_k=1)
    expected = pipeline.triage(models, photo.read_bytes(), question).model_dump(exclude_none=True)
    assert json.loads(capsys.readouterr().out) == {"file": str(photo), **expected}
    assert main(["triage", str(photo)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"file", "classify", "embed"}


def test_triage_refuses_unknown_parts(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["triage", str(photo), "--include", "classify,magic"]) == 2
    assert capsys.readouterr().err.startswith("phototriage: include: ")


def test_config_shows_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert "PHOTOTRIAGE_API_KEYS=\n" in capsys.readouterr().out
    monkeypatch.setenv("PHOTOTRIAGE_API_KEYS", "a-secret-of-16-signs, another-secret-16")
    assert main(["config"]) == 0
    output = capsys.readouterr().out
    assert "PHOTOTRIAGE_API_KEYS=*****\n" in output
    assert "secret-of" not in output
    monkeypatch.setenv("PHOTOTRIAGE_API_KEYS", "a-secret-of-16-signs,short-secret")
    assert main(["config"]) == 2
    told = capsys.readouterr().err
    assert "shorter than 16 characters" in told
    assert "secret-of" not in told


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
        np.testing.assert_array_equal(np.asarray(image), pipeline.saliency(models, photo.read_bytes(), "featout").mask)


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


def test_duplicates_writes_groups(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "again.png").write_bytes(solid((255, 0, 0)))
    output = tmp_path / "groups.csv"
    assert main(["duplicates", str(tmp_path), "-o", str(output), "--model", "tiny_embedder"]) == 0
    assert output.read_text() == (
        "group,path,size,minimum_similarity,links\n1,again.png,2,1.000000,\n1,red.png,2,1.000000,\n"
    )
    assert "groups: 1, with 2 of 2 images" in capsys.readouterr().out
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:60])
    assert main(["duplicates", str(tmp_path), "-o", str(output)]) == 1
    assert "cut.png: The PNG" in capsys.readouterr().err
    assert len(output.read_text().splitlines()) == 3


def test_compare_answers_pairs(photo: Path, tmp_path: Path) -> None:
    pairs, output = tmp_path / "pairs.csv", tmp_path / "out.csv"
    pairs.write_text("path_a,path_b\nred.png,red.png\n")
    assert main(["compare", str(pairs), "-o", str(output), "--threshold", "-0.5"]) == 0
    assert output.read_text().splitlines()[1] == "red.png,red.png,1,1.000000,0.880797,duplicate,0,"
    pairs.write_text("path_a,path_b\nred.png,none.png\n")
    assert main(["compare", str(pairs), "-o", str(output)]) == 1
    assert output.read_text().splitlines()[1] == "red.png,none.png,,,,,,path_b: No such file or directory"


@pytest.mark.parametrize("command", ["duplicates", "compare"])
def test_what_can_not_be_compared_exits_with_2(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out.csv")
    assert main([command, str(tmp_path / "missing"), "-o", output]) == 2
    assert "missing" in capsys.readouterr().err
    assert main([command, str(tmp_path), "-o", output, "--model", "tiny"]) == 2
    assert "No embedder is called 'tiny'; there is tiny_embedder" in capsys.readouterr().err
    for threshold in ("1.5", "nan", "high"):
        with pytest.raises(SystemExit) as caught:
            main([command, str(tmp_path), "-o", output, "--threshold", threshold])
        assert caught.value.code == 2
        assert threshold in capsys.readouterr().err


def test_compare_answers_about_two_images_and_draws_them(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, drawn = tmp_path / "green.png", tmp_path / "drawn.png"
    other.write_bytes(solid((0, 255, 0), height=20, width=30))
    assert main(["compare", str(photo), str(other), "-o", str(drawn)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["decision"], answer["verified"]) == ("not_duplicate", False)
    with Image.open(drawn) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
    assert main(["compare", str(photo), str(other), "--threshold", "-1"]) == 0
    assert json.loads(capsys.readouterr().out)["is_duplicate"]


def test_compare_tells_what_can_not_be_read(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:-40])
    assert main(["compare", str(photo), str(cut)]) == 1
    assert "truncated or corrupt" in capsys.readouterr().err
    assert main(["compare", str(photo), str(tmp_path / "none.png")]) == 1
    assert "none.png: No such file" in capsys.readouterr().err
    assert main(["compare", str(photo), str(photo), "-o", str(tmp_path / "no" / "drawn.png")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "pairs.csv")]) == 2
    assert "To compare two images, name both" in capsys.readouterr().err
    assert main(["compare", str(photo), str(photo), "--model", "none"]) == 2
    assert "none" in capsys.readouterr().err
