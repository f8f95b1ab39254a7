"""The labelled sets on drawn photos, and the whole benchmark on them. No trained weights."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image, ImageOps

from benchmarks import duplicate_pairs, duplicate_scores, duplicates
from benchmarks.duplicate_pairs import SetName, labelled_set, load_all, numbers_of, write_set
from tests.drawings import drawing, encoded, write_folder
from tests.tiny_models import write_embedder
from training.data.photos import Photos
from training.networks.embedder import Embedder, EmbedderSpec
from training.pairs.labelled_pairs import HARD_NEGATIVE, SHARED, PairSets
from training.sources.files import DataError

ROOMS = ("bathroom", "kitchen")
HOUSES = {"train": ("001",), "tune": ("101", "102", "150"), "test": ("151", "199", "200")}
CLASSES = {"train": "ant", "caltech-tune": "bass", "caltech": "rhino"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Rooms and animals. The kitchen of house 200 is that of 199, mirrored; the one of 150 is the bathroom of 151."""
    root = tmp_path_factory.mktemp("sources")
    keys = [f"{house}_{room}" for houses in HOUSES.values() for house in houses for room in ROOMS]
    rooms = {f"{key}.png": encoded(drawing(seed)) for seed, key in enumerate(keys)}
    rooms["200_kitchen.png"] = encoded(ImageOps.mirror(drawing(keys.index("199_kitchen"))))
    rooms["150_kitchen.png"] = rooms["151_bathroom.png"]
    animals = {
        f"{name}/image_{i:04}.png": encoded(drawing(100 * place + i))
        for place, name in enumerate(CLASSES.values(), start=1)
        for i in range(3)
    }
    return write_folder(root / "house_photos", rooms), write_folder(root / "caltech101", animals)


@pytest.fixture(scope="module")
def photos(sources: tuple[Path, Path]) -> Photos:
    return load_all(*sources, progress=False)


@pytest.fixture(scope="module")
def network() -> Embedder:
    torch.manual_seed(0)
    return Embedder(EmbedderSpec()).eval()


@pytest.fixture(scope="module")
def test_set(photos: Photos, network: Embedder) -> PairSets:
    return labelled_set(photos, "test", network)


def test_sets_and_train_photos_are_disjoint(photos: Photos) -> None:
    sets = {name: set(numbers_of(photos, name)) for name in get_args(SetName)}
    assert {name: len(found) for name, found in sets.items()} == {
        "tune": 5,  # one of six is a test photo as well
        "test": 6,
        "caltech-tune": 3,
        "caltech": 3,
    }
    train = set(photos.numbers("train"))
    assert len(set.union(train, *sets.values())) == len(train) + sum(len(found) for found in sets.values())
    assert {photos.photos[number].key for number in train} >= {"house_photos/001_kitchen.png"}


def test_every_photo_has_its_pairs(photos: Photos, test_set: PairSets) -> None:
    """Of six photos each has two other rooms of its type, but the two equal kitchens have one."""
    everyday, hard = test_set
    alike = 4 * 2 + 2 * 1
    assert [pair.same for pair in everyday].count(True) == 6 * 3
    assert [pair.kind for pair in everyday].count(HARD_NEGATIVE) == alike
    assert len(everyday) == 6 * 3 + alike + 6 + 6 + 6  # with an edited one, a random one, one under a shared overlay
    assert len(hard) == 6 * 2 + alike + 6
    kinds = {pair.kind for pair in hard if not pair.same}
    assert kinds == {HARD_NEGATIVE, SHARED}


def test_near_identical_photos_are_never_called_different(photos: Photos, test_set: PairSets) -> None:
    groups = photos.groups
    for pair in (*test_set.everyday, *test_set.hard):
        assert pair.same == (groups[pair.left.photo] == groups[pair.right.photo])
        if pair.kind == SHARED:
            assert pair.left.steps == pair.right.steps != ()


def test_look_alikes_are_of_one_type(photos: Photos, test_set: PairSets) -> None:
    for pair in test_set.everyday:
        if pair.kind == HARD_NEGATIVE:
            types = {photos.photos[shot.photo].key.split("_")[-1] for shot in (pair.left, pair.right)}
            assert len(types) == 1


def test_a_seed_makes_the_same_pairs_again(photos: Photos, network: Embedder, test_set: PairSets) -> None:
    assert labelled_set(photos, "test", network) == test_set
    assert labelled_set(photos, "test", network, seed=1) != test_set


def test_a_limit_draws_photos(photos: Photos, network: Embedder) -> None:
    sets = labelled_set(photos, "test", network, limit=4)
    assert len({pair.left.photo for pair in sets.everyday}) == 4


def test_a_source_of_another_name_is_refused(sources: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(sources[0], tmp_path / "rooms")
    with pytest.raises(DataError, match="'test' has 0 photos"):
        numbers_of(load_all(folder, sources[1], progress=False), "test")


def test_sets_are_written_to_look_at(photos: Photos, test_set: PairSets, tmp_path: Path) -> None:
    count = write_set(photos, test_set, tmp_path)
    with (tmp_path / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count == len(test_set.everyday) + len(test_set.hard)
    assert [row["is_same"] for row in rows].count("1") == 6 * 5
    assert rows[0]["kind"] == f"everyday, {test_set.everyday[0].kind}"
    written = {path.name for path in tmp_path.glob("*.png")}
    assert written == {row[side] for row in rows for side in ("path_a", "path_b")}
    with Image.open(tmp_path / rows[0]["path_a"]) as image:
        assert image.size == (64, 48)


def test_the_whole_benchmark(
    sources: tuple[Path, Path],
    network: Embedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_embedder(tmp_path / "tiny")
    monkeypatch.setattr(duplicates, "published_backbone", lambda: network)
    monkeypatch.setattr(duplicate_scores, "RESAMPLES", 20)
    houses, caltech = map(str, sources)
    picture, record = tmp_path / "curves.png", tmp_path / "figures.json"
    arguments = ["--houses", houses, "--caltech", caltech, "--on", "test", "--peers", "dhash"]
    arguments += ["--model", str(tmp_path / "tiny"), "--picture", str(picture), "--json", str(record)]
    assert duplicates.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "|  | n | dHash | tiny | tiny, tuned here |" in printed
    assert "tiny minus each of the others" in printed
    with Image.open(picture) as image:
        assert image.format == "PNG"
    figures = json.loads(record.read_text())
    by_name = {column["name"]: column for column in figures["columns"]}
    assert by_name["tiny"]["threshold"] == 0.9  # its manifest's
    n = {row["part"]: 0 for row in by_name["dHash"]["kinds"]}
    for row in by_name["dHash"]["kinds"]:
        n[row["part"]] += row["n"]
    assert n["houses, everyday"] == by_name["dHash"]["figures"]["everyday: F1"]["n"] == 46


def test_nothing_to_measure_is_an_error(sources: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    houses, caltech = map(str, sources)
    with pytest.raises(SystemExit):
        duplicates.main(["--houses", houses, "--caltech", caltech, "--on", "dev", "--peers"])
    assert "nothing to measure" in capsys.readouterr().err


def test_a_missing_source_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--houses", str(tmp_path / "no"), "--caltech", str(tmp_path / "no"), "--to", str(tmp_path / "to")]
    assert duplicate_pairs.main(arguments) == 1
    assert "error: " in capsys.readouterr().err
