"""Model folders with known answers, made by hand: no torch, no training.

The tiny classifier looks at the mean colour of a 16×16 input. Its logits are 10 times the means of red, green and
blue in [0, 1]. Its gradient is not that of these logits but a pattern that masks can be worked out from by hand:
for any label, 1 at PEAK and 1/2 at SIDE in the label's own channel.

The tiny embedder is the direction of the mean colour from middle grey: v / ‖v‖ with v the mean of red, green and blue
in [0, 1], where the pixel at PEAK counts three times, less 1/2. So red and green have the cosine −1/3, red and black
1/3. Its gradient is the exact one of Σ w · v / ‖v‖: the pixel's weight times (w − (w · e) e) / ‖v‖.
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

from phototriage.images.input_config import InputConfig
from phototriage.model_folder import golden, manifest
from phototriage.model_folder.golden import Golden
from phototriage.model_folder.manifest import MODEL_FILE, Data, Decision, Manifest, Measured, Output, Training, Tuning
from phototriage.saliency.featout_config import FeatOutConfig

LABELS = ("red", "green", "blue")
SIDE_LENGTH = 16
PEAK, SIDE = (4, 8), (12, 4)  # (row, column) at the input, among those that golden vectors keep
FEATOUT = FeatOutConfig(patches=2, exclusion_share=0.3)  # a disk of radius 3.5 covers the whole peak


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
    return model_of(nodes, constants, "logits")


def shares() -> NDArray[np.float32]:
    """(1, 16, 16, 1): the weight of each pixel in the embedder's mean; they sum to 1."""
    values = np.ones((1, SIDE_LENGTH, SIDE_LENGTH, 1), np.float32)
    values[0, PEAK[0], PEAK[1]] = 3
    return values / np.float32(258)


def embedder_graph(length: float = 1.0) -> onnx.ModelProto:
    """uint8 (N, 16, 16, 3), float (N, 3) → embedding (N, 3) of that length, gradient (N, 16, 16, 3)."""
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "byte_shares"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "plane"], ["means"], keepdims=0),
        helper.make_node("Sub", ["means", "grey"], ["offset"]),
        helper.make_node("ReduceL2", ["offset", "row"], ["distance"], keepdims=1),
        helper.make_node("Div", ["offset", "distance"], ["direction"]),
        helper.make_node("Mul", ["direction", "length"], ["embedding"]),
        helper.make_node("Mul", ["output_weights", "direction"], ["products"]),
        helper.make_node("ReduceSum", ["products", "row"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "direction"], ["along"]),
        helper.make_node("Sub", ["output_weights", "along"], ["across"]),
        helper.make_node("Div", ["across", "distance"], ["slopes"]),
        helper.make_node("Unsqueeze", ["slopes", "plane"], ["channels"]),
        helper.make_node("Mul", ["channels", "shares"], ["gradient"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2]), "plane"),
        numpy_helper.from_array(np.array([1]), "row"),
        numpy_helper.from_array(shares() / np.float32(255), "byte_shares"),
        numpy_helper.from_array(shares(), "shares"),
        numpy_helper.from_array(np.array(0.5, np.float32), "grey"),
        numpy_helper.from_array(np.array(length, np.float32), "length"),
    ]
    return model_of(nodes, constants, "embedding")


def model_of(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], answer: str) -> onnx.ModelProto:
    """A model with the sides that every served one has; its main output, (N, 3), is called `answer`."""
    image: list[str | int | None] = ["batch", SIDE_LENGTH, SIDE_LENGTH, 3]
    columns: list[str | int | None] = ["batch", 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("images", TensorProto.UINT8, image),
            helper.make_tensor_value_info("output_weights", TensorProto.FLOAT, columns),
        ],
        [
            helper.make_tensor_value_info(answer, TensorProto.FLOAT, columns),
            helper.make_tensor_value_info("gradient", TensorProto.FLOAT, image),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def embedder_golden(length: float = 1.0) -> Golden:
    """What the tiny embedder has to answer, worked out without it."""
    images = np.random.default_rng(1).integers(0, 256, (3, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    weights = np.eye(3, dtype=np.float32)
    offset = (images / 255 * shares()).sum(axis=(1, 2)) - 0.5
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    direction = offset / distance
    slopes = (weights - (weights * direction).sum(axis=1, keepdims=True) * direction) / distance
    gradient = slopes[:, np.newaxis, np.newaxis] * shares()
    return Golden(
        images, weights, (direction * length).astype(np.float32), gradient.astype(np.float32), role="embedding"
    )


def tiny_golden(scale: float = 10.0) -> Golden:
    """What the tiny classifier has to answer, worked out without it."""
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    weights = np.eye(len(LABELS), dtype=np.float32)
    logits = (images.mean(axis=(1, 2)) * scale / 255).astype(np.float32)
    return Golden(images, weights, logits, weights[:, np.newaxis, np.newaxis] * pattern())


def write_model(folder: Path, scale: float = 10.0, golden_scale: float | None = None, **changes: Any) -> Manifest:
    """Write a model folder; `golden_scale` makes its golden vectors another model's, `changes` replace fields of
    its manifest."""
    own = {
        "kind": "classifier",
        "description": "Names the strongest of three colours",
        "labels": LABELS,
        "featout": FEATOUT,
    }
    return write_graph(folder, tiny_graph(scale), tiny_golden(golden_scale or scale), own | changes)


def write_embedder(folder: Path, length: float = 1.0, **changes: Any) -> Manifest:
    """Write an embedder's folder; `changes` replace fields of its manifest."""
    own = {
        "kind": "embedder",
        "description": "Tells how alike two mean colours are",
        "decision": decision(),
    }
    return write_graph(folder, embedder_graph(length), embedder_golden(length), own | changes)


def decision(**changes: Any) -> Decision:
    """Duplicates from a cosine of .9 on; at .8 as probable as not, at 1 by 1 / (1 + e⁻²)."""
    measured = Measured(value=0.5, interval=(0.25, 0.75))
    tuning = Tuning(
        data="pairs",
        sha256="0" * 64,
        pairs=100,
        duplicates=25,
        folds=5,
        aim="f1",
        precision=measured,
        recall=measured,
        f1=measured,
    )
    fields: dict[str, Any] = {"threshold": 0.9, "slope": 10.0, "intercept": -8.0, "prior": 0.25, "tuning": tuning}
    return Decision(**(fields | changes))


def write_graph(folder: Path, graph: onnx.ModelProto, kept: Golden, changes: dict[str, Any]) -> Manifest:
    folder.mkdir(parents=True)
    onnx.save(graph, folder / MODEL_FILE)
    golden.write(kept, folder)
    outputs = (
        Output(role=kept.role, name=kept.role, shape=("N", 3)),
        Output(role="gradient", name="gradient", shape=("N", SIDE_LENGTH, SIDE_LENGTH, 3)),
    )
    return described(folder, {"outputs": outputs} | changes)


def described(folder: Path, changes: dict[str, Any]) -> Manifest:
    """Write the manifest of a folder that holds a graph and its golden vectors; `changes` are fields of it."""
    fields: dict[str, Any] = {
        "name": folder.name,
        "default": False,
        "files": {name: manifest.sha256_of(folder / name) for name in (MODEL_FILE, golden.FILE_NAME)},
        "input": input_rule(),
        "data": Data(name="none", sha256="0" * 64, licence="CC0-1.0", images={}),
        "training": Training(command="by hand", settings={}, random_seed=0, packages={}, hardware="none"),
    }
    return manifest.write(Manifest(**(fields | changes)), folder)


def input_rule(**changes: Any) -> InputConfig:
    fields: dict[str, Any] = {
        "height": SIDE_LENGTH,
        "width": SIDE_LENGTH,
        "colour": "rgb",
        "resize": "box",
        "antialias": True,
        "aspect": "stretch",
    }
    return InputConfig(**(fields | changes))


def solid(colour: tuple[int, int, int], height: int = SIDE_LENGTH, width: int = SIDE_LENGTH) -> bytes:
    """A PNG of one colour."""
    return png_of(np.full((height, width, 3), colour, np.uint8))


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
