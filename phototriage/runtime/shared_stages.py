"""Where two graphs begin alike, to the last bit: what is computed there once can serve both.

A classifier and an embedder that were trained from the same weights, their first stages frozen as is the default, have
the same first stages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper, numpy_helper

from phototriage.runtime.forward_graph import forward_only

LEAST_SHARE = 0.1  # of the second graph's convolutions: to share fewer isn't worth handing anything over


class Cut(NamedTuple):
    """A tensor that both graphs compute in the same way, by its name in each. Of the second one, all that comes behind
    depends on the images by it alone."""

    first: str
    second: str


def find_cut(first: Mapping[str, str], second: onnx.ModelProto) -> Cut | None:
    """The last cut of two forward graphs, of which the first is described by its `digests`; None where they have too
    little in common, or where the tensor isn't float32."""
    names = {digest: name for name, digest in first.items()}
    cut, passed, known = None, 0, digests(second)
    convolutions = sum(node.op_type == "Conv" for node in second.graph.node)
    for number, node in enumerate(second.graph.node):
        passed += node.op_type == "Conv"
        if len(node.output) != 1 or known.get(node.output[0]) not in names:
            continue
        if passed >= LEAST_SHARE * convolutions > 0 and alive_behind(second.graph, number) == {node.output[0]}:
            cut = Cut(names[known[node.output[0]]], node.output[0])
    return cut if cut is not None and _is_float32(second, cut.second) else None


def part(model: onnx.ModelProto, outputs: Sequence[str], start: str | None = None) -> onnx.ModelProto:
    """What computes the tensors `outputs`, float32, from the inputs or from the tensor `start`; `model` stays as it
    is."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {each.name for each in whole.graph.output}
    inner = [name for name in outputs if name not in known]
    whole.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    if start is not None:
        (maker,) = [node for node in whole.graph.node if start in node.output]
        maker.output[0] = "computed elsewhere"
        whole.graph.input.append(helper.make_tensor_value_info(start, TensorProto.FLOAT, None))
    return forward_only(whole, outputs)


def digests(model: onnx.ModelProto) -> Mapping[str, str]:
    """For each tensor of a graph a digest of all that makes it: operators, their settings, constants, inputs. Empty
    where operators are defined in the model itself."""
    if model.functions:
        return {}
    by_tensor = {each.name: _digest(b"input", each.type.SerializeToString()) for each in model.graph.input}
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        by_tensor[constant.name] = _digest(str(array.dtype).encode(), repr(array.shape).encode(), array.tobytes())
    versions = {each.domain: each.version for each in model.opset_import}
    for node in model.graph.node:
        settings = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        operator = f"{node.domain} {versions.get(node.domain)} {node.op_type}"
        made_of = [by_tensor.get(name, name) for name in node.input]
        for place, name in enumerate(node.output):
            by_tensor[name] = _digest(operator.encode(), str(place).encode(), *settings, *map(str.encode, made_of))
    return by_tensor


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for each in parts:
        digest.update(b"%d:" % len(each) + each)
    return digest.hexdigest()


def alive_behind(graph: onnx.GraphProto, last: int) -> set[str]:
    """Of the inputs and what the nodes up to the last-th give, what those behind it read, and the outputs."""
    before = {each.name for each in graph.input} | {name for node in graph.node[: last + 1] for name in node.output}
    wanted = {name for node in graph.node[last + 1 :] for name in node.input} | {each.name for each in graph.output}
    return before & wanted


def _is_float32(model: onnx.ModelProto, tensor: str) -> bool:
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {each.name: each.type.tensor_type.elem_type for each in [*graph.value_info, *graph.output]}
    return types.get(tensor) == TensorProto.FLOAT
