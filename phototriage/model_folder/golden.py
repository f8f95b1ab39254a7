"""Golden vectors: inputs with the answers that torch gave, replayed before a model is served."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import ModelFolderError
from phototriage.duplicates.pairs import LENGTH_TOLERANCE
from phototriage.model_folder.manifest import MainRole

FILE_NAME = "golden.npz"
SAMPLE_STEP = 4  # every 4th row and column of the gradient is kept: enough to tell, at a sixteenth of the size
# Other processors and GPUs round otherwise (TF32 keeps 10 bits); another model, filter or colour order is off by far
# more. A ReLU unit on its kink may flip between machines, so gradients are compared by correlation.
ANSWER_TOLERANCE = 0.005  # of the magnitude of the largest logit, or of the embedding's largest component
LEAST_CORRELATION = 0.99


class Explainer(Protocol):
    """A loaded model."""

    @property
    def role(self) -> MainRole: ...

    def forward(self, images: NDArray[np.uint8]) -> NDArray[np.float32]: ...

    def explain(
        self, images: NDArray[np.uint8], output_weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


@dataclass(frozen=True)
class Golden:
    """`images` uint8 (N, H, W, C), `output_weights` float32 (N, K), and what must come out of them: `answers` float32
    (N, K), which are the model's logits or embeddings as `role` says, and `gradient` float32 (N, H, W, C)."""

    images: NDArray[np.uint8]
    output_weights: NDArray[np.float32]
    answers: NDArray[np.float32]
    gradient: NDArray[np.float32]
    role: MainRole = "logits"


def write(golden: Golden, folder: Path) -> None:
    """Write `folder/golden.npz`: images, output_weights, the answers under their role's name, and every
    SAMPLE_STEP-th row and column of the gradient."""
    answers: dict[str, Any] = {golden.role: golden.answers}
    np.savez_compressed(
        folder / FILE_NAME,
        images=golden.images,
        output_weights=golden.output_weights,
        gradient=sample(golden.gradient),
        **answers,
    )


def write_answers(images: NDArray[np.uint8], answers: Mapping[str, NDArray[np.float32]], folder: Path) -> None:
    """As `write`, of a model without a gradient: each of its outputs under its role's name."""
    arrays: dict[str, Any] = dict(answers)
    np.savez_compressed(folder / FILE_NAME, images=images, **arrays)


def replay_answers(
    run: Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.float32]]], roles: Sequence[str], folder: Path
) -> None:
    """As `replay`, of a model without a gradient; `run` takes images uint8 (N, H, W, C), and gives answers by role."""
    place = f"{folder.name}/{FILE_NAME}"
    stored = _read(("images", *roles), folder)
    answers = run(stored["images"])
    for role in roles:
        _check_answers(answers[role], stored[role], f"{place}: {role}")


def replay(model: Explainer, folder: Path) -> None:
    """Run the folder's golden inputs through the model.

    Raises ModelFolderError, which names the file and the difference, if the answers aren't the ones kept.
    """
    place = f"{folder.name}/{FILE_NAME}"
    stored = _read(("images", "output_weights", model.role, "gradient"), folder)
    images, expected_gradient = stored["images"], stored["gradient"]
    answers, gradient = model.explain(images, stored["output_weights"])
    for computed, graph in ((model.forward(images), "forward"), (answers, "whole")):
        _check_answers(computed, stored[model.role], f"{place}: {model.role} of the {graph} graph")
    if model.role == "embedding":
        _check_lengths(answers, place)
    for i, (computed, expected) in enumerate(zip(sample(gradient), expected_gradient, strict=True)):
        likeness = correlation(computed, expected)
        if not likeness >= LEAST_CORRELATION:
            raise ModelFolderError(
                f"{place}: the gradient of image {i} has correlation {likeness:.4f} with the one kept, the "
                f"least is {LEAST_CORRELATION}: export the model again"
            )


def _read(names: Sequence[str], folder: Path) -> dict[str, NDArray[Any]]:
    """Those arrays of the folder's file. Raises ModelFolderError."""
    place = f"{folder.name}/{FILE_NAME}"
    try:
        with (folder / FILE_NAME).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except FileNotFoundError:
        raise ModelFolderError(f"{place} is missing: export the model again") from None
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelFolderError(f"{place} can't be read: {error}") from error


def _check_answers(computed: NDArray[np.float32], expected: NDArray[np.float32], what: str) -> None:
    difference = float(np.abs(computed - expected).max())
    limit = ANSWER_TOLERANCE * float(np.abs(expected).max())
    if not difference <= limit:  # also if it isn't finite
        raise ModelFolderError(
            f"{what} differ by {difference:.3g} from those kept, the limit is {limit:.3g}: export the model again"
        )


def _check_lengths(embeddings: NDArray[np.float32], place: str) -> None:
    """Raise ModelFolderError if an embedding isn't of length 1: products of others are no cosines."""
    for i, length in enumerate(np.linalg.norm(embeddings.astype(np.float64), axis=1)):
        if not abs(length - 1) <= LENGTH_TOLERANCE:
            raise ModelFolderError(
                f"{place}: the embedding of image {i} has length {length:.4g}, it has to be 1 within "
                f"{LENGTH_TOLERANCE}: normalise in the graph and export the model again"
            )


def sample(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W, C) to every SAMPLE_STEP-th row and column."""
    return gradient[:, ::SAMPLE_STEP, ::SAMPLE_STEP]


def correlation(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Cosine of two gradients taken as vectors: 1 for the same up to a factor; 1 if both are zero, 0 if one is."""
    a, b = left.ravel().astype(np.float64), right.ravel().astype(np.float64)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0:
        return float(not a.any() and not b.any())
    return float(a @ b) / norms
