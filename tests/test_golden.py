"""Golden vectors: kept small, replayed exactly, refused with the difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.errors import ModelFolderError
from phototriage.golden import FILE_NAME, Golden, correlation, replay, write

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 8, 8, 3), np.uint8)
WEIGHTS = np.eye(2, dtype=np.float32)
LOGITS = np.array([[1, -2], [4, 0.5]], np.float32)
GRADIENT = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)


@dataclass
class Parrot:
    """A model that gives these answers."""

    forward: NDArray[np.float32]
    whole: NDArray[np.float32]
    gradient: NDArray[np.float32]

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert np.array_equal(images, IMAGES)
        return self.forward

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
