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

from phototriage.forward_graph import forward_only

LEAST_SHARE = 0.1  # of the second graph's convolutions: to share fewer isn't worth handing anything over


class Seam(NamedTuple):
    """A tensor that both graphs compute in the same way, by its name in each. Of the second one, all that comes behind
    depends on the images by it alone."""

    first: str
    second: str


def find_seam(first: onnx.ModelProto, second: onnx.ModelProto) -> Seam | None:
    """The last one of two forward graphs; None where they have too little in common."""
    names = {key: name for name, key in _keys(first).items()}
    keys = _keys(second)
    found, passed = None, 0
    convolutions = sum(node.op_type == "Conv" for node in second.graph.node)
    for number, node in enumerate(second.graph.node):
        passed += node.op_type == "Conv"
        if len(node.output) != 1 or keys[node.output[0]] not in names:
            continue
        if passed >= LEAST_SHARE * convolutions > 0 and _crossing(second.graph, number) == {node.output[0]}:
            found = Seam(names[keys[node.output[0]]], node.output[0])
    return found


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


def _keys(model: onnx.ModelProto) -> Mapping[str, str]:
    """For each tensor of a graph a digest of all that makes it: operators, their settings, constants, inputs."""
    keys = {each.name: _digest(b"input", each.type.SerializeToString()) for each in model.graph.input}
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        keys[constant.name] = _digest(str(array.dtype).encode(), repr(array.shape).encode(), array.tobytes())
    versions = {each.domain: each.version for each in model.opset_import}
    for node in model.graph.node:
        settings = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        operator = f"{node.domain} {versions.get(node.domain)} {node.op_type}"
        made_of = [keys.get(name, name) for name in node.input]
        for place, name in enumerate(node.output):
            keys[name] = _digest(operator.encode(), str(place).encode(), *settings, *map(str.encode, made_of))
    return keys


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for one in parts:
        digest.update(b"%d:" % len(one) + one)
    return digest.hexdigest()


def _crossing(graph: onnx.GraphProto, last: int) -> set[str]:
    """What the nodes behind the last-th read, and the outputs, of the inputs and what the nodes up to it give."""
    before = {each.name for each in graph.input} | {name for node in graph.node[: last + 1] for name in node.output}
    wanted = {name for node in graph.node[last + 1 :] for name in node.input} | {each.name for each in graph.output}
    return before & wanted
