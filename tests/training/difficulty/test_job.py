"""`python -m training.difficulty`, on drawn shapes: from exported models to a score that is served."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks import difficulty as benchmark_module
from benchmarks import difficulty_tables, other_families
from benchmarks.difficulty import main as benchmark
from benchmarks.difficulty_cost import main as cost
from phototriage.cli.command import main as command
from phototriage.difficulty.depths import DEPTH_SIGNALS
from phototriage.difficulty.signals import AUTOENCODED, SIGNALS
from phototriage.model_folder import manifest
from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from phototriage.triage import pipeline
from tests.shapes import shapes_folder
from training.answers import answering, features, judges
from training.autoencoder.job import main as train_autoencoder
from training.classifier.job import main as train_classifier
from training.difficulty.job import main
from training.export.model_folder import main as export

LOCAL = ["--workers", "0", "--device", "cpu"]
REFERENCES = ["--reference-size", "16", "--reference-epochs", "1", "--seeds", "1"]
QUICK = [*REFERENCES, *LOCAL]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shapes_folder(tmp_path_factory.mktemp("shapes"), 60)
    rng = np.random.default_rng(0)
    for label in ("disk", "square"):  # nobody can tell these, so that even shapes have hard ones
        for i in range(15):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"noise_{i}.png")
    return folder


@pytest.fixture(scope="module")
def exported(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/ and models/: a classifier and an autoencoder of the shapes."""
    place = tmp_path_factory.mktemp("place")
    here = ["--data", str(photos), "--runs", str(place / "runs"), *LOCAL]
    small = ["--backbone", "small_cnn", "--size", "16", "--epochs", "2", "--featout", "none"]
    assert train_classifier([*here, "--name", "mine", *small]) == 0
    tiny = ["--size", "16", "--latent", "8", "--width", "8", "--epochs", "2", *REFERENCES]
    assert train_autoencoder([*here, "--name", "mine_autoencoder", *tiny]) == 0
    for name in ("mine", "mine_autoencoder"):
        assert export(["--name", name, "--runs", str(place / "runs"), "--models", str(place / "models")]) == 0
    return place


@pytest.fixture(autouse=True)
def _few_foreign_images_and_small_ones_for_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a fit's time here."""
    monkeypatch.setattr(answering, "FOREIGN_IMAGES", 40)
    monkeypatch.setattr(judges, "SIDE", 64)


@pytest.fixture
def place(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "place")
    return tmp_path / "place"


def fit(place: Path, photos: Path, *more: str, autoencoder: str | None = "mine_autoencoder") -> int:
    models = ["--classifier", "mine", "--models", str(place / "models")]
    models += [] if autoencoder is None else ["--autoencoder", autoencoder]
    return main(["--data", str(photos), *models, "--runs", str(place / "runs"), *QUICK, *more])


def ranked(place: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is ranked by any of the answers, and its table has them all."""
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(place / "models"))
    for key in ("p_error", "p_hard", "p_foreign"):
        output, page = place / f"{key}.csv", place / f"{key}.html"
        assert command(["rank", str(photos), "-o", str(output), "--by", key, "--gallery", str(page)]) == 0
        with output.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = [float(row[key]) for row in rows]
        assert found == sorted(found, reverse=True)
        assert len(set(found)) > 10
        for row in rows:
            trusted = (1 - float(row["p_error"])) * (1 - float(row["p_foreign"]))
            assert float(row["score"]) == pytest.approx(1 - trusted, abs=5e-6)
        assert "inner_contradiction" in rows[0]
        assert "reconstruction_l1" not in rows[0]
        assert "p_hard 0." in page.read_text(encoding="utf-8")


def test_answers_need_no_autoencoder(
    place: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = manifest.read(place / "models/mine")
    assert fit(place, photos, autoencoder=None) == 0
    told = capsys.readouterr()
    assert "p_error" in told.out
    assert "replica of mine, " in told.err
    assert "reference 0" not in told.err
    after = manifest.read(place / "models/mine")
    rule = after.difficulty
    assert rule is not None
    assert rule.answers is not None
    assert (rule.autoencoder, rule.formula, rule.reference) == (None, None, None)
    assert rule.answers.replica_mistakes > 0
    assert rule.images == before.data.images["val"]
    shutil.rmtree(place / "models/mine_autoencoder")
    models = load_models(Settings(models_directory=place / "models", threads=1, provider="cpu"))
    found = pipeline.difficulty(models, (photos / "disk/000.png").read_bytes())
    assert set(found.components) == {*SIGNALS, *DEPTH_SIGNALS} - set(AUTOENCODED)
    assert found.p_error is not None
    assert found.p_foreign is not None
    assert found.score == pytest.approx(1 - (1 - found.p_error) * (1 - found.p_foreign))
    assert not (place / "runs/mine_difficulty").exists()
    ranked(place, photos, monkeypatch)
    assert fit(place, photos, autoencoder=None) == 0
    assert "epoch" not in capsys.readouterr().err  # its replicas are kept
    assert manifest.read(place / "models/mine") == after


def test_without_features_an_autoencoder_is_needed(
    place: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("it has no blocks, whose maps are wanted")

    monkeypatch.setattr(features, "find_features", refuse)
    before = manifest.read(place / "models/mine")
    assert fit(place, photos, autoencoder=None) == 2
    assert "give it: --autoencoder NAME" in capsys.readouterr().err
    assert manifest.read(place / "models/mine") == before
    assert fit(place, photos) == 0
    assert "AUROC of reference mistakes" in capsys.readouterr().out
    rule = manifest.read(place / "models/mine").difficulty
    assert rule is not None
    assert rule.answers is None


def test_the_score_is_fitted_written_and_served(place: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = manifest.read(place / "models/mine")
    assert fit(place, photos) == 0
    told = capsys.readouterr()
    assert "AUROC of its own" in told.out
    assert "was trained on another set" not in told.err
    assert "validation images are few, so scores will be rough; take 200 or more" in told.err
    after = manifest.read(place / "models/mine")
    rule = after.difficulty
    assert rule is not None
    assert after.version != before.version
    assert rule.autoencoder_version == manifest.read(place / "models/mine_autoencoder").version
    assert rule.reference is not None
    assert (rule.reference.networks, rule.reference.size, rule.reference.epochs) == (2, 16, 1)
    assert rule.images == before.data.images["val"]
    assert [metric for metric in after.metrics if not metric.name.startswith("difficulty")] == list(before.metrics)
    card = (place / "models/mine/CARD.md").read_text(encoding="utf-8")
    assert card.count("## Difficulty") == 1
    assert "| difficulty: AUROC of its own" in card
    models = load_models(Settings(models_directory=place / "models", threads=1, provider="cpu"))
    found = pipeline.difficulty(models, (photos / "disk/000.png").read_bytes())
    assert 0 < found.score < 1
    assert rule.answers is not None
    assert (rule.answers.judges, rule.answers.foreign_images) == (10, 33)
    assert found.p_error is not None
    assert found.p_hard is not None
    assert found.p_foreign is not None
    assert found.score == pytest.approx(1 - (1 - found.p_error) * (1 - found.p_foreign))
    assert set(found.components) == {*SIGNALS, *DEPTH_SIGNALS}
    assert "p_error" in card
    truth = pq.read_table(place / "runs/mine_difficulty/truth.parquet").to_pylist()
    assert len(truth) == before.data.images["train"] + before.data.images["val"]
    assert {row["wrong"] for row in truth if row["split"] == "train"} <= {0.0, 1.0}
    hard = [row["loss"] for row in truth if row["hard"] and row["split"] == "train" and row["label"] == "disk"]
    easy = [row["loss"] for row in truth if not row["hard"] and row["split"] == "train" and row["label"] == "disk"]
    assert min(hard) >= max(easy)
    assert len(hard) / (len(hard) + len(easy)) == pytest.approx(0.2, abs=0.02)


def test_fitted_again_it_learns_no_network_anew_and_says_things_once(
    place: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(place, photos) == 0
    first = manifest.read(place / "models/mine")
    # The autoencoder has learned from the same networks.
    assert "epoch 1/1" not in capsys.readouterr().err
    assert fit(place, photos, "--reference-epochs", "2") == 0
    assert "epoch 2/2" in capsys.readouterr().err
    other = manifest.read(place / "models/mine")
    assert other.version != first.version
    assert fit(place, photos) == 0
    assert manifest.read(place / "models/mine") == first
    assert fit(place, photos, "--workload", "0.5") == 0
    again = manifest.read(place / "models/mine")
    assert len(again.metrics) == len(first.metrics)
    card = (place / "models/mine/CARD.md").read_text(encoding="utf-8")
    assert card.count("## Difficulty") == 1
    assert "the hardest 50%" in card
    assert "the hardest 10%" not in card
    assert first.difficulty is not None
    assert again.difficulty is not None
    assert again.difficulty.review_from < first.difficulty.review_from


def test_what_is_exported_anew_has_to_be_fitted_again(
    place: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(place, photos) == 0
    capsys.readouterr()
    local = ["--runs", str(place / "runs"), "--models", str(place / "models")]
    assert export(["--name", "mine_autoencoder", *local]) == 0
    assert "fitted again" not in capsys.readouterr().out  # the same version
    path = place / "runs/mine_autoencoder/run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"random_seed": 0', '"random_seed": 1'), encoding="utf-8")
    assert export(["--name", "mine_autoencoder", *local]) == 0
    told = capsys.readouterr().out
    assert "fitted again: python -m training.difficulty --classifier mine" in told
    assert "make serve" not in told  # it would refuse to start
    assert export(["--name", "mine", *local]) == 0
    told = capsys.readouterr().out
    assert "fitted again: python -m training.difficulty --classifier mine" in told
    load_models(Settings(models_directory=place / "models", threads=1, provider="cpu"))  # without a score


def test_what_does_not_belong_together_is_refused(
    place: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = manifest.read(place / "models/mine").version
    assert fit(place, photos, autoencoder="mine") == 2
    assert "nothing was written: mine is of kind 'classifier', not an autoencoder" in capsys.readouterr().err
    assert fit(place, photos, autoencoder="none") == 2
    shutil.copytree(photos, tmp_path / "others")
    (tmp_path / "others/disk").rename(tmp_path / "others/ring")
    assert fit(place, tmp_path / "others") == 2
    assert "has the classes ring, square; mine answers disk, square" in capsys.readouterr().err
    assert manifest.read(place / "models/mine").version == version


def test_another_set_than_the_models_learned_is_told(
    place: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos, tmp_path / "more")
    (tmp_path / "more/disk/000.png").rename(tmp_path / "more/disk/again.png")
    assert fit(place, tmp_path / "more") == 0
    assert capsys.readouterr().err.count("was trained on another set than more") == 2


def test_models_whose_splits_differ_are_told_and_ignored_classes_are_no_difference(
    place: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--data", str(photos), "--runs", str(place / "runs"), *LOCAL, "--size", "16", "--latent", "8"]
    for name, more in (("ignoring", ["--classes", "ignored"]), ("grouped", ["--group-by", r"noise_\d"])):
        assert train_autoencoder([*here, "--name", name, "--width", "4", "--epochs", "1", *more, *REFERENCES]) == 0
        local = ["--runs", str(place / "runs"), "--models", str(place / "models")]
        assert export(["--name", name, *local]) == 0
        capsys.readouterr()
        assert fit(place, photos, autoencoder=name) == 0
        told = capsys.readouterr().err
        assert ("note: grouped was trained with another --group-by on" in told) == (name == "grouped")
        assert "another set" not in told


def test_a_card_that_was_written_otherwise_gets_the_score_behind(place: Path, photos: Path) -> None:
    card = place / "models/mine/CARD.md"
    card.write_text("# Mine\n", encoding="utf-8")
    for _ in range(2):
        assert fit(place, photos) == 0
        text = card.read_text(encoding="utf-8")
        assert text.startswith("# Mine\n\n## Difficulty\n")
        assert text.count("## Difficulty") == 1
    load_models(Settings(models_directory=place / "models", threads=1, provider="cpu"))


@pytest.mark.parametrize("wrong", [["--workload", "0"], ["--seeds", "0"], ["--reference-size", "20"]])
def test_nonsense_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "x", "--classifier", "a", "--autoencoder", "b", *wrong])
    assert "error" in capsys.readouterr().err


def test_the_benchmark_tells_what_answers_are_worth(
    place: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(place, photos) == 0
    capsys.readouterr()
    monkeypatch.setattr(benchmark_module, "EACH_DRAWN", 1)
    monkeypatch.setattr(difficulty_tables, "RESAMPLES", 20)
    # The packages of other backbones aren't part of a check: a linear layer on the pixels is a family too.
    monkeypatch.setattr(
        other_families,
        "FAMILIES",
        {"pixels": lambda: lambda images: images[:, ::32, ::32].mean(-1).reshape(len(images), -1)},
    )
    here = ["--model", "mine", "--models", str(place / "models"), "--runs", str(place / "runs")]
    kept, picture = tmp_path / "measured.json", tmp_path / "difficulty.png"
    more = ["--families", "--foreign", f"shapes={photos}", "--leave-out", "noise", "--picture", str(picture)]
    members = ["--ensemble", str(place / "models/mine")]
    assert benchmark(["--data", str(photos), *here, *more, *members, "--metrics", str(kept)]) == 0
    told = capsys.readouterr().out
    for expected in ("| **p_error** | ", "| entropy | ", "| ensemble | ", "| pixels | ", "| shapes | ", "| noise | "):
        assert expected in told
    with Image.open(picture) as image:
        assert image.width > 500
    names = [metric["name"] for metric in json.loads(kept.read_text(encoding="utf-8"))]
    assert any("images of none" in name or "foreign" in name for name in names)
    assert fit(place, photos, "--metrics", str(kept)) == 0
    splits = {metric.split for metric in manifest.read(place / "models/mine").metrics if "own" in metric.name}
    assert splits == {"test", "val, other folds"}
    assert cost(["--model", "mine", "--models", str(place / "models"), "--rounds", "2"]) == 0
    assert capsys.readouterr().out.count("difficulty / classify at ") == 3


def test_the_benchmark_refuses_another_set(place: Path, photos: Path, tmp_path: Path) -> None:
    assert fit(place, photos) == 0
    shapes_folder(tmp_path / "others", 30)
    here = ["--model", "mine", "--models", str(place / "models"), "--runs", str(place / "runs")]
    assert benchmark(["--data", str(tmp_path / "others"), *here]) == 1
    assert benchmark(["--data", str(photos), "--model", "none", "--models", str(place / "models")]) == 1
    assert cost(["--model", "none", "--models", str(place / "models")]) == 1


def test_images_that_chose_the_score_report_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark(["--data", "x", "--model", "mine", "--on", "val", "--metrics", "measured.json"])
    assert "can't report it" in capsys.readouterr().err
