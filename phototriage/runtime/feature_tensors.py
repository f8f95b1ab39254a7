"""Where a classifier's graph holds an image's features at two depths, and the graph that gives these out as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper

from phototriage.runtime.shared_stages import alive_behind

JUNCTIONS = ("Add", "MaxPool")  # where blocks end
POOLING = ("Flatten", "GlobalAveragePool", "ReduceMean", "Reshape", "Squeeze")
LINEAR = ("Gemm", "MatMul")


class FeatureTensors(NamedTuple):
    """Names in a graph. `last`: features (N, D) that the logits are a linear function of. `inner`: maps (N, C, H, W)
    some layers before."""

    inner: str
    last: str


def find_features(forward: onnx.ModelProto, logits: str) -> FeatureTensors:
    """In a forward graph: the last features, and the last maps behind a block that these aren't just the means of.
    Raises ValueError where it has no such tensors."""
    graph = forward.graph
    makers = {name: node for node in graph.node for name in node.output}
    last = _up(makers, logits, lambda node: node.op_type not in LINEAR)
    if last not in makers:
        raise ValueError("its logits aren't made of features by a linear layer")
    last = makers[last].input[0]
    averaged = _up(makers, last, lambda node: node.op_type in POOLING)
    maps = _maps(forward) - {averaged}
    ends = [
        node.output[0]
        for number, node in enumerate(graph.node)
        if node.op_type in JUNCTIONS and node.output[0] in maps and alive_behind(graph, number) == {node.output[0]}
    ]
    if not ends:
        raise ValueError("it has no blocks, whose maps are wanted")
    return FeatureTensors(ends[-1], last)


def _up(makers: Mapping[str, onnx.NodeProto], name: str, passes: Callable[[onnx.NodeProto], bool]) -> str:
    """From a tensor along first inputs, past all nodes that `passes` allows."""
    while name in makers and passes(makers[name]):
        name = makers[name].input[0]
    return name


def _maps(model: onnx.ModelProto) -> set[str]:
    """Tensors of shape (N, C, H, W)."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {each.name for each in values if len(each.type.tensor_type.shape.dim) == 4}


def with_features(model: onnx.ModelProto, tensors: FeatureTensors) -> tuple[onnx.ModelProto, list[str]]:
    """The graph with two more outputs, and their names: means (N, C) of the inner maps, and the last features (N, D).
    `model` stays as it is."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    mean = f"{tensors.inner} mean"
    pooling = helper.make_node("GlobalAveragePool", [tensors.inner], [f"{mean} as a map"])
    extended.graph.node.extend([pooling, helper.make_node("Flatten", [f"{mean} as a map"], [mean])])
    outputs = [mean, tensors.last]
    extended.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    return extended, outputs
