"""An image's difficulty over HTTP, on the command line and in a folder; by tiny models with known answers."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from phototriage.cli.command import main
from phototriage.common.errors import ModelFolderError, UndecodableImage, UnknownLabel, UnknownModel
from phototriage.difficulty.signals import SIGNALS
from phototriage.model_folder import manifest
from phototriage.models.model_set import Models, load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.schemas import DifficultyResponse
from tests.asgi_client import AsgiClient
from tests.drawings import write_folder
from tests.hostile_files import bad_files, good_files
from tests.scored_models import AUTOENCODER, CLASSIFIER, write_autoencoder, write_scored
from tests.server.test_openapi import DOCUMENT, assert_fits
from tests.tiny_models import solid, write_model

RED, GREEN, BLUE = (solid(colour) for colour in [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
WHITE, BLACK = solid((255, 255, 255)), solid((0, 0, 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    write_scored(folder)
    write_model(folder / "plain", default=True)
    return folder


@pytest.fixture(scope="module")
def scored(folder: Path) -> Models:
    return load_models(Settings(models_directory=folder, threads=1, provider="cpu"))


@pytest.fixture(scope="module")
def client(folder: Path, scored: Models) -> Iterator[AsgiClient]:
    api = HttpApi()
    api.start(Settings(models_directory=folder, threads=1, provider="cpu"), scored)
    yield AsgiClient(api)
    api.stop()


def test_scores_by_hand(scored: Models) -> None:
    found = pipeline.difficulty(scored, WHITE, CLASSIFIER)
    assert found.score == pytest.approx(1 / (1 + math.exp(-4)))
    assert found.review
    assert found.percentile == pytest.approx(100 * found.score, abs=0.2)
    assert tuple(found.components) == SIGNALS
    assert found.components["reconstruction_l1"] == pytest.approx(1)
    assert found.components["smallness"] == pytest.approx(-math.log(16))
    assert found.model.name == CLASSIFIER
    dark = pipeline.difficulty(scored, BLACK, CLASSIFIER)
    assert dark.score == pytest.approx(0.5)
    assert not dark.review


def test_the_latent_is_compared_with_the_classifiers_own_label(scored: Models) -> None:
    red = pipeline.difficulty(scored, RED, CLASSIFIER)
    # A third of log-odds as great as numbers near 0 and 1 have, on either side.
    assert red.components["contradiction"] == pytest.approx(-2 * math.log(0.9999 / 0.0001) / 3, rel=1e-4)
    assert red.components["centre_distance"] == pytest.approx(0, abs=1e-6)


def test_a_label_of_the_callers(scored: Models) -> None:
    assert pipeline.difficulty(scored, RED, CLASSIFIER, "red").reasons == []
    (reason,) = pipeline.difficulty(scored, RED, CLASSIFIER, "blue").reasons
    assert (reason.kind, reason.signal) == ("likely_mislabelled", "probability_of_other_labels")
    assert reason.value == pytest.approx(1, abs=1e-4)
    with pytest.raises(UnknownLabel, match="'dog'; it has red, green, blue"):
        pipeline.difficulty(scored, RED, CLASSIFIER, "dog")


def test_a_classifier_without_a_score_says_which_has_one(scored: Models) -> None:
    with pytest.raises(UnknownModel, match=r"'plain' has no difficulty score; there is scored. Fit one"):
        pipeline.difficulty(scored, RED)
    with pytest.raises(UnknownModel, match="No classifier is called"):
        pipeline.difficulty(scored, RED, AUTOENCODER)


def test_a_broken_file_is_told(scored: Models) -> None:
    with pytest.raises(UndecodableImage):
        pipeline.difficulty(scored, RED[:50], CLASSIFIER)


def test_the_route_answers_what_the_call_does(client: AsgiClient, scored: Models) -> None:
    for query, label in (("", None), ("&label=blue", "blue")):
        response = client.post(f"/v1/difficulty?model={CLASSIFIER}{query}", files={"image": ("a.png", RED)})
        assert response.status_code == 200
        expected = pipeline.difficulty(scored, RED, CLASSIFIER, label)
        assert DifficultyResponse.model_validate(response.json()) == expected
    raw = {"content-type": "image/png"}
    assert client.post("/v1/difficulty", content=RED, headers=raw).status_code == 404
    wrong = client.post(f"/v1/difficulty?model={CLASSIFIER}&label=dog", content=RED, headers=raw)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_label")
    assert client.post(f"/v1/difficulty?model={CLASSIFIER}&lable=red", content=RED, headers=raw).status_code == 400
    assert client.post(f"/v1/difficulty?model={CLASSIFIER}", content=b"none", headers=raw).status_code == 415


def test_answers_and_problems_are_as_announced(client: AsgiClient) -> None:
    responses = DOCUMENT["paths"]["/v1/difficulty"]["post"]["responses"]
    path, raw = f"/v1/difficulty?model={CLASSIFIER}&label=blue", {"content-type": "image/png"}
    answer = client.post(path, content=WHITE, headers=raw)
    assert_fits(answer.json(), responses["200"]["content"]["application/json"]["schema"])
    for name, (data, status, code) in bad_files().items():
        problem = client.post(path, content=data, headers=raw)
        assert (problem.status_code, problem.json()["code"]) == (status, code), name
        assert_fits(problem.json(), responses[str(status)]["content"]["application/problem+json"]["schema"])
    for name, data in good_files().items():
        assert client.post(path, content=data, headers=raw).status_code == 200, name


def test_the_manifest_is_listed_with_its_score(client: AsgiClient) -> None:
    models = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert models[CLASSIFIER]["difficulty"]["autoencoder"] == AUTOENCODER
    assert models["plain"]["difficulty"] is None


def test_another_autoencoder_than_the_fitted_one_is_refused(tmp_path: Path) -> None:
    write_scored(tmp_path)
    settings = Settings(models_directory=tmp_path, threads=1, provider="cpu")
    load_models(settings)
    shutil.rmtree(tmp_path / AUTOENCODER)
    with pytest.raises(ModelFolderError, match="tiny_autoencoder, which isn't here"):
        load_models(settings)
    write_autoencoder(tmp_path / AUTOENCODER, description="another")
    with pytest.raises(ModelFolderError, match=r"of version \w+; here is \w+. Export that one again, or fit"):
        load_models(settings)


def test_a_score_needs_its_file_and_a_classifier(tmp_path: Path) -> None:
    described = write_scored(tmp_path)
    files = {name: sha for name, sha in described.files.items() if name != "difficulty.npz"}
    with pytest.raises(ValueError, match=r"needs the file difficulty\.npz"):
        manifest.Manifest(**(described.model_dump() | {"files": files}))
    (tmp_path / CLASSIFIER / "difficulty.npz").write_bytes(b"other")
    with pytest.raises(ModelFolderError, match=r"difficulty\.npz has SHA-256"):
        load_models(Settings(models_directory=tmp_path, threads=1, provider="cpu"))


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(folder))
    monkeypatch.setenv("PHOTOTRIAGE_DEFAULT_CLASSIFIER", CLASSIFIER)
    monkeypatch.setenv("PHOTOTRIAGE_THREADS", "1")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    files = {"red/white.png": WHITE, "red/a.png": RED, "red/dark.png": BLACK, "blue/wrong.png": GREEN}
    return write_folder(tmp_path / "photos", files | {"blue/<b>.png": BLUE, "other/odd.png": RED[:50]})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("command")
def test_the_command_prints_what_the_route_answers(
    photos: Path, scored: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photos / "red/a.png"
    assert main(["difficulty", str(path), str(photos / "none.png"), "--label", "blue"]) == 1
    told = capsys.readouterr()
    expected = pipeline.difficulty(scored, RED, CLASSIFIER, "blue").model_dump(exclude_none=True)
    assert json.loads(told.out) == {"file": str(path), **expected}
    assert "none.png: No such file" in told.err


@pytest.mark.usefixtures("command")
def test_a_folder_is_ranked_hardest_first(
    photos: Path, tmp_path: Path, scored: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    output, page = tmp_path / "hard.csv", tmp_path / "hard.html"
    assert main(["rank", str(photos), "-o", str(output), "--gallery", str(page)]) == 1
    told = capsys.readouterr()
    assert f"{photos / 'other/odd.png'}: The PNG" in told.err
    manifest = scored.classifier(CLASSIFIER).manifest
    assert f"5 images, 1 of them to review, by {CLASSIFIER}, version {manifest.version}\n" in told.out
    found = rows(output)
    # By brightness; of equal ones by name.
    names = ["red/white.png", "blue/<b>.png", "blue/wrong.png", "red/a.png", "red/dark.png"]
    assert [row["path"] for row in found] == names
    answer = pipeline.difficulty(scored, WHITE, CLASSIFIER)
    assert float(found[0]["score"]) == pytest.approx(answer.score, abs=1e-6)
    assert (found[0]["review"], found[1]["review"]) == ("1", "0")
    assert float(found[0]["blur"]) == pytest.approx(answer.components["blur"], abs=1e-5)
    assert "given_label" not in found[0]
    assert "p_error" not in found[0]
    assert main(["rank", str(photos), "-o", str(output), "--by", "p_error"]) == 2
    assert "has no p_error. Fit it: python -m training.difficulty" in capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    assert text.count("<img src=") == 10
    assert text.count('class="marked"') == 2
    assert "<b>" not in text
    assert "blue/&lt;b&gt;.png" in text
    assert "Content-Security-Policy" in text


@pytest.mark.usefixtures("command")
def test_labels_of_folders_tell_what_is_mislabelled(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, page = tmp_path / "hard.csv", tmp_path / "hard.html"
    more = ["--labelled", "--by", "likely_mislabelled", "--gallery", str(page)]
    assert main(["rank", str(photos), "-o", str(output), *more]) == 1
    found = rows(output)
    assert (found[0]["path"], found[0]["given_label"], found[0]["label"]) == ("blue/wrong.png", "blue", "green")
    assert found[0]["reasons"] == "likely_mislabelled"
    text = page.read_text(encoding="utf-8")
    assert "given as blue" in text
    assert text.count("<img src=") == 2 * 5  # all but the broken one, on either side
    assert main(["rank", str(photos), "-o", str(output), "--by", "likely_mislabelled"]) == 2
    assert "needs --labelled" in capsys.readouterr().err


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{photos}/none", "-o", "{out}"], "is no folder"),
        (["{photos}", "-o", "{photos}/none/hard.csv"], "no folder"),
        (["{photos}", "-o", "{out}", "--gallery", "{photos}"], "is a folder"),
        (["{photos}/other", "-o", "{out}", "--model", "plain"], "has no difficulty score"),
        (["{photos}/red", "-o", "{out}", "--labelled"], "No sub-folder"),
        (["{empty}", "-o", "{out}"], "holds no images"),
    ],
)
def test_what_cannot_be_ranked_is_told(
    arguments: list[str], told: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"photos": str(photos), "out": str(tmp_path / "hard.csv"), "empty": str(tmp_path / "empty")}
    assert main(["rank", *(argument.format(**places) for argument in arguments)]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "hard.csv").exists()
