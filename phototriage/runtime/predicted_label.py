"""A classifier's graph whose gradient can be that of the label which it predicts itself, in the same pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from phototriage.runtime.forward_graph import needed_by

PREFIX = "predicted_label/"


def explains_predicted(model: onnx.ModelProto, weights: str, logits: str, classes: int) -> onnx.ModelProto:
    """The model, where a row of zeros in its input `weights` (N, classes) stands for the label of the greatest logit.

    Otherwise a caller that doesn't know the label has to run the forward part first, to say it. `model` stays as it is.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    chosen = PREFIX + "weights"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == weights:
                node.input[place] = chosen
    names = {name: PREFIX + name for name in ("last", "depth", "on_off", "zero", "size", "sum", "none", "best", "row")}
    constants: dict[str, NDArray[Any]] = {
        "last": np.array([1], np.int64),
        "depth": np.array(classes, np.int64),
        "on_off": np.array([0, 1], np.float32),
        "zero": np.array(0, np.float32),
    }
    added = [
        helper.make_node("Abs", [weights], [names["size"]]),
        helper.make_node("ReduceSum", [names["size"], names["last"]], [names["sum"]], keepdims=1),
        helper.make_node("Equal", [names["sum"], names["zero"]], [names["none"]]),
        helper.make_node("ArgMax", [logits], [names["best"]], axis=1, keepdims=0),
        helper.make_node("OneHot", [names["best"], names["depth"], names["on_off"]], [names["row"]], axis=1),
        helper.make_node("Where", [names["none"], names["row"], weights], [chosen]),
    ]
    # A graph lists its nodes in the order of execution: behind what makes the logits, before what reads the weights.
    first = needed_by(graph, [logits])
    before = [node for node, early in zip(graph.node, first, strict=True) if early]
    after = [node for node, early in zip(graph.node, first, strict=True) if not early]
    del graph.node[:]
    graph.node.extend([*before, *added, *after])
    graph.initializer.extend(numpy_helper.from_array(value, names[name]) for name, value in constants.items())
    return changed
