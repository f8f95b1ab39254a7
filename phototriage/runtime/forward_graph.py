"""The forward part of a graph that also answers a gradient: a caller that wants the class pays for that alone."""

from __future__ import annotations

from collections.abc import Sequence

import onnx


def forward_only(model: onnx.ModelProto, outputs: Sequence[str] = ("logits",)) -> onnx.ModelProto:
    """The nodes, weights and inputs that `outputs` need, as a model of its own; `model` stays as it is.

    A run of the whole graph that fetches one output still computes more than that output needs, and the backward
    part keeps the runtime from fusing what only it reads. Raises ValueError if `model` has no such output.
    """
    graph = model.graph
    missing = set(outputs) - {output.name for output in graph.output}
    if missing:
        raise ValueError(f"the graph has no output {', '.join(sorted(missing))}")
    kept = needed_by(graph, outputs)
    nodes = [node for node, keep in zip(graph.node, kept, strict=True) if keep]
    needed = {*outputs, *(name for node in nodes for name in node.input)}
    cut = onnx.ModelProto()
    cut.ir_version = model.ir_version
    cut.opset_import.extend(model.opset_import)
    cut.functions.extend(model.functions)
    cut.graph.name = f"{graph.name}_forward"
    cut.graph.node.extend(nodes)
    cut.graph.initializer.extend(each for each in graph.initializer if each.name in needed)
    cut.graph.input.extend(each for each in graph.input if each.name in needed)
    cut.graph.output.extend(each for each in graph.output if each.name in outputs)
    cut.graph.value_info.extend(each for each in graph.value_info if each.name in needed)
    return cut


def needed_by(graph: onnx.GraphProto, outputs: Sequence[str]) -> list[bool]:
    """For each node of the graph whether one of those tensors needs it."""
    needed, marks = set(outputs), []
    for node in reversed(graph.node):  # an ONNX graph lists its nodes in the order of execution
        wanted = bool(needed.intersection(node.output))
        if wanted:
            needed.update(node.input)
        marks.append(wanted)
    return marks[::-1]
