"""A served embedder with layout re-scoring: one similarity, by image, by embedding, by folder or by table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.cli.compare import write_answers
from phototriage.cli.duplicates import write_groups
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.images.pixels import ImageLimits
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.comparison import TUNED, Side, duplicates
from phototriage.triage.embedder_input import embedder_input
from tests.tiny_models import SIDE_LENGTH, decision, png_of, write_embedder

RED, GREEN, BLUE = (255, 60, 60), (60, 255, 60), (60, 60, 255)


def stripes(colour: tuple[int, int, int], *bright: int) -> bytes:
    """Columns of a colour on a darker one of it, of the input's own size."""
    pixels = np.full((SIDE_LENGTH, SIDE_LENGTH, 3), colour, np.uint8) // 3
    pixels[:, list(bright)] = colour
    return png_of(pixels)


# The same stripes, the same mirrored, and others.
A, SAME, MIRRORED, OTHER = stripes(RED, 1, 2, 9), stripes(GREEN, 1, 2, 9), stripes(GREEN, 14, 13, 6), stripes(BLUE, 5)


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Models:
    directory = tmp_path_factory.mktemp("looking")
    write_embedder(
        directory / "tiny", decision=decision(threshold=0.8, layout_rescoring=LayoutRescoring(floor=0.5, weight=0.9))
    )
    return load_models(Settings(models_directory=directory, threads=1, provider="cpu"))


def side(content: bytes, name: str = "image") -> Side:
    return Side(name, "image", content)


def vector(models: Models, content: bytes) -> NDArray[np.float32]:
    chosen = models.embedder()
    found: NDArray[np.float32] = chosen.embed(embedder_input(chosen, content, ImageLimits()).pixels[np.newaxis])[0]
    return found


def cosine(models: Models, a: bytes, b: bytes) -> float:
    return float(vector(models, a)[:3] @ vector(models, b)[:3])


def test_the_embedding_carries_the_layout(looking: Models) -> None:
    embedding = pipeline.embed(looking, A).embedding
    assert embedding.dimension == 3 + layout.DIMENSION
    assert np.linalg.norm(vector(looking, A)[3:]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("other", "same_layout"), [(SAME, True), (MIRRORED, True), (OTHER, False)])
def test_one_layout_in_another_colour(looking: Models, other: bytes, same_layout: bool) -> None:
    plain = cosine(looking, A, other)
    assert plain < 0.8
    answer = duplicates(looking, side(A), side(other))
    expected = plain + 0.9 * (1 - plain) if same_layout else plain
    assert answer.similarity == pytest.approx(expected, abs=0.02)
    assert answer.is_duplicate == same_layout
    stored = Side("embedding", "embedding", pipeline.embed(looking, other).embedding.model_dump_json().encode())
    assert duplicates(looking, side(A), stored).similarity == pytest.approx(answer.similarity, abs=1e-6)


def test_an_explanation_is_of_the_cosine(looking: Models, models: Models) -> None:
    found = duplicates(looking, side(A), side(SAME), explain=True).explanation
    of_cosine = duplicates(models, side(A), side(SAME), explain=True).explanation
    assert found is not None
    assert of_cosine is not None
    assert (found.a, found.b) == (of_cosine.a, of_cosine.b)


def test_a_folder_and_a_table_give_the_same(looking: Models, tmp_path: Path) -> None:
    for name, content in (("a.png", A), ("b.png", SAME), ("c.png", OTHER), ("d.png", MIRRORED)):
        (tmp_path / name).write_bytes(content)
    embedder = looking.embedder()
    assert write_groups(tmp_path, tmp_path / "groups.csv", embedder, TUNED, ImageLimits())
    rows = list(csv.reader((tmp_path / "groups.csv").read_text().splitlines()))
    assert [row[1] for row in rows[1:]] == ["a.png", "b.png", "d.png"]
    (tmp_path / "pairs.csv").write_text("path_a,path_b\na.png,b.png\na.png,c.png\n")
    assert write_answers(tmp_path / "pairs.csv", tmp_path / "out.csv", embedder, TUNED, ImageLimits())
    answers = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["duplicate"] for row in answers] == ["1", "0"]
    expected = duplicates(looking, side(A), side(SAME)).similarity
    assert float(answers[0]["similarity"]) == pytest.approx(expected, abs=1e-6)
