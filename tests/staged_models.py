"""Model folders whose graphs begin with the same stages, or not: a convolution by one seed, the rest by another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from phototriage.model_folder.golden import Golden
from phototriage.model_folder.manifest import MainRole, Manifest
from tests.tiny_models import LABELS, SIDE_LENGTH, decision, model_of, pattern, write_graph

CHANNELS = 4


def staged_graph(answer: str, stage: int, rest: int, early_tap: bool = False, pads: int = 1) -> onnx.ModelProto:
    """A convolution whose weights are `stage`'s, and behind it another of `rest`'s, to `answer` (N, 3).

    early_tap: the answer also depends on the images by another way than the first convolution.
    """
    generators = {"first": np.random.default_rng(stage), "second": np.random.default_rng(rest)}
    weights = {
        name: rng.normal(size=(CHANNELS, channels, 3, 3)).astype(np.float32)
        for (name, rng), channels in zip(generators.items(), (3, CHANNELS), strict=True)
    }
    columns = generators["second"].normal(size=(CHANNELS, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["bytes", "white"], ["values"]),
        helper.make_node("Conv", ["values", "first"], ["maps"], pads=[pads] * 4),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("Conv", ["positive", "second"], ["deep"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["deep"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "columns"], ["sums"]),
    ]
    last = "sums"
    if early_tap:
        nodes += [
            helper.make_node("GlobalAveragePool", ["values"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat_means"]),
            helper.make_node("Add", [last, "flat_means"], ["tapped"]),
        ]
        last = "tapped"
    if answer == "embedding":
        nodes.append(helper.make_node("LpNormalization", [last], [answer], axis=1, p=2))
    else:
        nodes.append(helper.make_node("Identity", [last], [answer]))
    nodes += [
        helper.make_node("Unsqueeze", ["output_weights", "plane"], ["channels"]),
        helper.make_node("Mul", ["channels", "pattern"], ["gradient"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(255, np.float32), "white"),
        numpy_helper.from_array(np.array([1, 2]), "plane"),
        numpy_helper.from_array(pattern(), "pattern"),
        numpy_helper.from_array(columns, "columns"),
        *(numpy_helper.from_array(array, name) for name, array in weights.items()),
    ]
    return model_of(nodes, constants, answer)


def write_staged(folder: Path, stage: int, rest: int, kind: str = "classifier", **changes: Any) -> Manifest:
    """Write a model folder; `changes` replace fields of its manifest."""
    answer: MainRole = "logits" if kind == "classifier" else "embedding"
    graph = staged_graph(answer, stage, rest)
    images: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, (3, SIDE_LENGTH, SIDE_LENGTH, 3), np.uint8)
    weights = np.eye(3, dtype=np.float32)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found, gradient = session.run([answer, "gradient"], {"images": images, "output_weights": weights})
    own: dict[str, Any] = {"kind": kind, "description": "Two convolutions"}
    own |= {"labels": LABELS} if kind == "classifier" else {"decision": decision()}
    return write_graph(folder, graph, Golden(images, weights, found, gradient, role=answer), own | changes)
