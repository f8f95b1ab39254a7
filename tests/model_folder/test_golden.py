"""Golden vectors: kept small, replayed exactly, refused with the difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder.golden import FILE_NAME, Golden, correlation, replay, write
from phototriage.model_folder.manifest import MainRole

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 8, 8, 3), np.uint8)
WEIGHTS = np.eye(2, dtype=np.float32)
LOGITS = np.array([[1, -2], [4, 0.5]], np.float32)
EMBEDDINGS = np.array([[0.6, -0.8], [0.28, 0.96]], np.float32)
GRADIENT = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)


@dataclass
class Parrot:
    """A model that gives these answers."""

    cut: NDArray[np.float32]
    whole: NDArray[np.float32]
    gradient: NDArray[np.float32]
    role: MainRole = "logits"

    def forward(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert np.array_equal(images, IMAGES)
        return self.cut

    def explain(
        self, images: NDArray[np.uint8], output_weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert np.array_equal(output_weights, WEIGHTS)
        return self.whole, self.gradient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    write(Golden(IMAGES, WEIGHTS, LOGITS, GRADIENT), path)
    return path


def test_the_same_answers_pass(folder: Path) -> None:
    replay(Parrot(LOGITS, LOGITS, GRADIENT), folder)


def test_rounding_and_a_scaled_gradient_pass(folder: Path) -> None:
    replay(Parrot(LOGITS + 0.01, LOGITS - 0.01, GRADIENT * 1.01), folder)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Parrot(LOGITS + 0.1, LOGITS, GRADIENT), "logits of the forward graph differ by 0.1"),
        (Parrot(LOGITS, LOGITS + 0.1, GRADIENT), "logits of the whole graph differ by 0.1"),
        (Parrot(LOGITS, LOGITS * np.nan, GRADIENT), "logits of the whole graph differ by nan"),
        (Parrot(LOGITS, LOGITS, GRADIENT[:, ::-1]), "gradient of image 0 has correlation"),
        (Parrot(LOGITS, LOGITS, GRADIENT * 0), "gradient of image 0 has correlation 0.0000"),
    ],
)
def test_other_answers_are_refused_with_the_difference(folder: Path, model: Parrot, told: str) -> None:
    with pytest.raises(ModelFolderError, match=rf"model/golden\.npz.*{told}"):
        replay(model, folder)


@pytest.fixture
def embedder_folder(tmp_path: Path) -> Path:
    path = tmp_path / "embedder"
    path.mkdir()
    write(Golden(IMAGES, WEIGHTS, EMBEDDINGS, GRADIENT, role="embedding"), path)
    return path


def test_an_embedders_vectors_go_by_its_role(folder: Path, embedder_folder: Path) -> None:
    with np.load(embedder_folder / FILE_NAME) as kept:
        assert set(kept) == {"images", "output_weights", "embedding", "gradient"}
        assert np.array_equal(kept["embedding"], EMBEDDINGS)
        assert kept["gradient"].shape == (2, 2, 2, 3)
    with np.load(folder / FILE_NAME) as kept:
        assert set(kept) == {"images", "output_weights", "logits", "gradient"}
    replay(Parrot(EMBEDDINGS, EMBEDDINGS, GRADIENT, "embedding"), embedder_folder)


def test_an_embedder_with_a_classifiers_vectors_is_refused(folder: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"can't be read.*embedding"):
        replay(Parrot(LOGITS, LOGITS, GRADIENT, "embedding"), folder)


def test_other_embeddings_are_refused_with_the_difference(embedder_folder: Path) -> None:
    # The limit is .005 of the largest component, .96.
    with pytest.raises(ModelFolderError, match=r"embedding of the forward graph differ by 0\.005 .* limit is 0\.0048"):
        replay(Parrot(EMBEDDINGS + np.float32(0.005), EMBEDDINGS, GRADIENT, "embedding"), embedder_folder)


def test_embeddings_that_are_not_of_length_1_are_refused(tmp_path: Path) -> None:
    write(Golden(IMAGES, WEIGHTS, EMBEDDINGS * 2, GRADIENT, role="embedding"), tmp_path)
    with pytest.raises(ModelFolderError, match=r"embedding of image 0 has length 2, it has to be 1 within 0\.001"):
        replay(Parrot(EMBEDDINGS * 2, EMBEDDINGS * 2, GRADIENT, "embedding"), tmp_path)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    with pytest.raises(ModelFolderError, match=r"model/golden\.npz is missing"):
        replay(Parrot(LOGITS, LOGITS, GRADIENT), folder)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 and then nothing"])
def test_a_broken_file_is_named(folder: Path, content: bytes) -> None:
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"model/golden\.npz can't be read"):
        replay(Parrot(LOGITS, LOGITS, GRADIENT), folder)


def test_an_incomplete_file_is_named(folder: Path) -> None:
    np.savez(folder / FILE_NAME, images=IMAGES)
    with pytest.raises(ModelFolderError, match="can't be read"):
        replay(Parrot(LOGITS, LOGITS, GRADIENT), folder)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [([1, 0], [2, 0], 1), ([1, 0], [0, 1], 0), ([1, 0], [-1, 0], -1), ([1, 1], [1, 0], 0.5**0.5), ([0], [0], 1)],
)
def test_correlation_by_hand(left: list[float], right: list[float], expected: float) -> None:
    assert correlation(np.array(left, float), np.array(right, float)) == pytest.approx(expected)


def test_a_zero_gradient_against_another_has_no_correlation() -> None:
    assert correlation(np.zeros(3), np.ones(3)) == 0
