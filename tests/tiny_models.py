"""Model folders with known answers, made by hand: no torch, no training.

The tiny classifier looks at the mean colour of a 16×16 input. Its logits are 10 times the means of red, green and
blue in [0, 1]. Its gradient is not that of these logits but a pattern that masks can be worked out from by hand:
for any label, 1 at PEAK and 1/2 at SIDE in the label's own channel.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from phototriage import golden, manifest
from phototriage.featout_rule import FeatOutRule
from phototriage.golden import Golden
from phototriage.input_rule import InputRule
from phototriage.manifest import Data, Manifest, Output, Training
from phototriage.runtime import MODEL_FILE

LABELS = ("red", "green", "blue")
SIDE_LENGTH = 16
PEAK, SIDE = (4, 8), (12, 4)  # (row, column) at the input, among those that golden vectors keep
FEATOUT = FeatOutRule(patches=2, exclusion_share=0.3)  # a disk of radius 3.5 covers the whole peak


def pattern() -> NDArray[np.float32]:
    values = np.zeros((1, SIDE_LENGTH, SIDE_LENGTH, 1), np.float32)
    values[0, PEAK[0], PEAK[1]] = 1
    values[0, SIDE[0], SIDE[1]] = 0.5
    return values


def tiny_graph(scale: float = 10.0) -> onnx.ModelProto:
    """uint8 (N, 16, 16, 3), float (N, 3) → logits (N, 3), gradient (N, 16, 16, 3)."""
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "plane"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["logits"]),
        helper.make_node("Unsqueeze", ["output_weights", "plane"], ["channels"]),
        helper.make_node("Mul", ["channels", "pattern"], ["gradient"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2]), "plane"),
        numpy_helper.from_array(np.array(scale / 255, np.float32), "scale"),
        numpy_helper.from_array(pattern(), "pattern"),
    ]
    image: list[str | int | None] = ["batch", SIDE_LENGTH, SIDE_LENGTH, 3]
    per_label: list[str | int | None] = ["batch", len(LABELS)]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("images", TensorProto.UINT8, image),
            helper.make_tensor_value_info("output_weights", TensorProto.FLOAT, per_label),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, per_label),
            helper.make_tensor_value_info("gradient", TensorProto.FLOAT, image),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def tiny_golden(scale: float = 10.0) -> Golden:
    """What the tiny classifier has to answer, worked out without it."""
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    weights = np.eye(len(LABELS), dtype=np.float32)
    logits = (images.mean(axis=(1, 2)) * scale / 255).astype(np.float32)
    return Golden(images, weights, logits, weights[:, np.newaxis, np.newaxis] * pattern())


def write_model(folder: Path, scale: float = 10.0, golden_scale: float | None = None, **changes: Any) -> Manifest:
    """Write a model folder; `golden_scale` makes its golden vectors another model's, `changes` replace fields of
    its manifest."""
    folder.mkdir(parents=True)
    onnx.save(tiny_graph(scale), folder / MODEL_FILE)
    golden.write(tiny_golden(golden_scale or scale), folder)
    fields: dict[str, Any] = {
        "name": folder.name,
        "kind": "classifier",
        "default": False,
        "description": "Names the strongest of three colours",
        "files": {name: manifest.sha256_of(folder / name) for name in (MODEL_FILE, golden.FILE_NAME)},
        "input": input_rule(),
        "outputs": (
            Output(role="logits", name="logits", shape=("N", 3)),
            Output(role="gradient", name="gradient", shape=("N", SIDE_LENGTH, SIDE_LENGTH, 3)),
        ),
        "labels": LABELS,
        "featout": FEATOUT,
        "data": Data(name="none", sha256="0" * 64, licence="CC0-1.0", images={}),
        "training": Training(command="by hand", settings={}, random_seed=0, packages={}, hardware="none"),
    }
    return manifest.write(Manifest(**(fields | changes)), folder)


def input_rule(**changes: Any) -> InputRule:
    fields: dict[str, Any] = {
        "height": SIDE_LENGTH,
        "width": SIDE_LENGTH,
        "colour": "rgb",
        "resize": "box",
        "antialias": True,
        "aspect": "stretch",
    }
    return InputRule(**(fields | changes))


def solid(colour: tuple[int, int, int], height: int = SIDE_LENGTH, width: int = SIDE_LENGTH) -> bytes:
    """A PNG of one colour."""
    return png_of(np.full((height, width, 3), colour, np.uint8))


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
