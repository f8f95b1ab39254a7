"""A tiny classifier with a difficulty score of known answers, and the tiny autoencoder that it is scored with.

The autoencoder's latent of a 16×16 image is its mean colour in [0, 1]; its L1 is the mean red, its dissimilarity the
mean green. The centres are pure red, green and blue. The score counts brightness alone: 1 / (1 + e^(4 · darkness));
darkness is −brightness, so white scores highest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from phototriage.difficulty import predictor
from phototriage.difficulty.config import FILE_NAME, DifficultyConfig, Formula, ReferenceNetworks, SignalWeight
from phototriage.difficulty.predictor import SCALES, STEPS, Difficulty
from phototriage.difficulty.signals import SIGNALS, LatentMap
from phototriage.model_folder import golden, manifest
from phototriage.model_folder.manifest import MODEL_FILE, Manifest, Output
from tests.tiny_models import LABELS, SIDE_LENGTH, described, write_model

CLASSIFIER, AUTOENCODER = "scored", "tiny_autoencoder"
CENTRES = np.eye(3, dtype=np.float32)
# Reference networks are expected to give the class of a channel by a third of that channel's log-odds more.
READOUT = np.vstack([np.zeros(3), np.eye(3) / 3]).astype(np.float32)
LATENT_MAP = LatentMap(CENTRES, READOUT)


def autoencoder_graph() -> onnx.ModelProto:
    """uint8 (N, 16, 16, 3) → latent (N, 3), reconstruction_error (N, 2)."""
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "plane"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["latent"]),
        helper.make_node("Gather", ["latent", "first_two"], ["reconstruction_error"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2]), "plane"),
        numpy_helper.from_array(np.array([0, 1]), "first_two"),
        numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
    ]
    image: list[str | int | None] = ["batch", SIDE_LENGTH, SIDE_LENGTH, 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, image)],
        [
            helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("reconstruction_error", TensorProto.FLOAT, ["batch", 2]),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_autoencoder(folder: Path, **changes: Any) -> Manifest:
    folder.mkdir(parents=True)
    onnx.save(autoencoder_graph(), folder / MODEL_FILE)
    images = np.random.default_rng(2).integers(0, 256, (3, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    latent = (images.mean(axis=(1, 2)) / 255).astype(np.float32)
    golden.write_answers(images, {"latent": latent, "reconstruction_error": latent[:, :2]}, folder)
    own = {
        "kind": "autoencoder",
        "description": "Knows mean colours",
        "outputs": (
            Output(role="latent", name="latent", shape=("N", 3)),
            Output(role="reconstruction_error", name="reconstruction_error", shape=("N", 2)),
        ),
    }
    return described(folder, own | changes)


def difficulty_config(version: str, **changes: Any) -> DifficultyConfig:
    fields: dict[str, Any] = {
        "autoencoder": AUTOENCODER,
        "autoencoder_version": version,
        "formula": Formula(weights={"darkness": SignalWeight(mean=0, deviation=1, weight=-4)}, intercept=0),
        "doubt_boost": 0,
        "review_from": 0.9,
        "workload": 0.1,
        "reference": ReferenceNetworks(
            trunk="small_cnn", size=16, epochs=1, parameters=1000, networks=2, mistakes=0.25
        ),
        "data": "none",
        "sha256": "0" * 64,
        "group_by": None,
        "images": 100,
    }
    return DifficultyConfig(**(fields | changes))


def scales() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Of signals and kinds evenly spread from −100 to 100, of shares from 0 to 1."""
    even = np.linspace(-100, 100, STEPS).astype(np.float32)
    shares = np.linspace(0, 1, STEPS).astype(np.float32)
    names = (*SCALES, *SIGNALS)
    return {name: shares if name in (predictor.SCORE, predictor.MISLABELLED) else even for name in names}


def write_scored(folder: Path, **changes: Any) -> Manifest:
    """Both folders below `folder`; `changes` replace fields of the config."""
    version = write_autoencoder(folder / AUTOENCODER).version
    place = folder / CLASSIFIER
    plain = write_model(place, labels=LABELS)
    found = Difficulty(difficulty_config(version, **changes), LATENT_MAP, scales())
    predictor.write(found, place)
    files = plain.files | {FILE_NAME: manifest.sha256_of(place / FILE_NAME)}
    return manifest.write(plain.model_copy(update={"difficulty": found.config, "files": files}), place)
