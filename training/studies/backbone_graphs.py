"""Forward graphs of two models on one backbone: compared stage by stage, cut, joined and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder.manifest import IMAGES
from phototriage.runtime.sessions import open_session
from phototriage.runtime.shared_stages import part
from phototriage.settings import Settings
from training.networks.backbones import EfficientNetLite0

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]
Runner = Callable[[Images], Floats]  # uint8 (n, side, side, 3) → (n, K)

FEATURES, LAST = "features", EfficientNetLite0.features


class Layer(NamedTuple):
    """A linear layer: weights (D, F), bias (D)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def embed(self, features: Floats) -> Floats:
        """(n, F) → (n, D) of unit length."""
        values = features @ self.weights.T + self.bias
        found: Floats = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
        return found


def convolutions(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Of a forward graph, in the order of execution."""
    return [node for node in model.graph.node if node.op_type == "Conv"]


def arrays_of(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[list[NDArray[np.float32]]]:
    """The constants of each node: weights, bias."""
    known = {each.name: each for each in model.graph.initializer}
    return [[numpy_helper.to_array(known[name]) for name in node.input[1:3]] for node in nodes]


def stage_sizes() -> list[int]:
    """How many convolutions each stage of the backbone has."""
    return [sum(isinstance(each, nn.Conv2d) for each in stage.modules()) for stage in EfficientNetLite0().stages]


class Stage(NamedTuple):
    """How far the weights of two backbones differ in one stage."""

    number: int
    weights: int
    differ: int  # how many
    largest: float  # difference
    greatest: float  # weight, of either sign


def stages_of(first: onnx.ModelProto, second: onnx.ModelProto) -> list[Stage]:
    """Each stage of two forward graphs beside the other's. Raises ModelFolderError unless they are of one backbone."""
    pairs = list(zip(*(arrays_of(model, convolutions(model)) for model in (first, second)), strict=False))
    shapes = [[[array.shape for array in arrays] for arrays in pair] for pair in pairs]
    if len(pairs) != sum(stage_sizes()) or any(left != right for left, right in shapes):
        raise ModelFolderError("the two graphs aren't of one backbone, EfficientNet-Lite0")
    found = []
    for number, size in enumerate(stage_sizes()):
        chosen, pairs = pairs[:size], pairs[size:]
        left, right = (np.concatenate([a.ravel() for pair in chosen for a in pair[side]]) for side in (0, 1))
        off = np.abs(left - right)
        found.append(Stage(number, off.size, int((off > 0).sum()), float(off.max()), float(np.abs(left).max())))
    return found


def common_stages(stages: Sequence[Stage]) -> int:
    """How many of the first stages have the same weights, to the last bit."""
    return next((stage.number for stage in stages if stage.differ), len(stages))


def entry(model: onnx.ModelProto, stage: int) -> str:
    """The tensor that a stage reads."""
    return str(convolutions(model)[sum(stage_sizes()[:stage])].input[0])


def fed_with(model: onnx.ModelProto, side: int) -> onnx.ModelProto:
    """The same for images of another size; nothing else in a backbone's graph depends on it."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    (images,) = [each for each in found.graph.input if each.name == IMAGES]
    for place in (1, 2):
        images.type.tensor_type.shape.dim[place].dim_value = side
    return found


def transplanted(embedder: onnx.ModelProto, donor: onnx.ModelProto) -> onnx.ModelProto:
    """The embedder's forward graph with the convolutions of another."""
    found = onnx.ModelProto()
    found.CopyFrom(embedder)
    known = {each.name: each for each in found.graph.initializer}
    nodes = convolutions(found)
    for node, arrays in zip(nodes, arrays_of(donor, convolutions(donor)), strict=True):
        for name, array in zip(node.input[1:3], arrays, strict=True):
            known[name].CopyFrom(numpy_helper.from_array(array, name))
    return found


def with_features(embedder: onnx.ModelProto) -> onnx.ModelProto:
    """The embedder's forward graph with one output more: the pooled taps (n, F) that its last layer reads, and behind
    them the last maps' average (n, 1280)."""
    found = onnx.ModelProto()
    found.CopyFrom(embedder)
    (taps,) = [node for node in found.graph.node if node.op_type == "Concat"]
    maps = [node for node in found.graph.node if node.op_type == "Relu"][-1].input[0]
    found.graph.node.extend(
        [
            helper.make_node("GlobalAveragePool", [maps], ["averages"]),
            helper.make_node("Flatten", ["averages"], ["flat averages"]),
            helper.make_node("Concat", [taps.output[0], "flat averages"], [FEATURES], axis=1),
        ]
    )
    return part(found, [FEATURES, *(each.name for each in embedder.graph.output)])


def last_layer(embedder: onnx.ModelProto) -> Layer:
    (node,) = [node for node in embedder.graph.node if node.op_type == "Gemm"]
    ((weights, bias),) = arrays_of(embedder, [node])
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    return Layer((weights if turned else weights.T).astype(np.float64), bias.astype(np.float64))


def opened(model: onnx.ModelProto, settings: Settings) -> Callable[[NDArray[Any]], list[Floats]]:
    """A forward graph as a function from its one input to all its outputs."""
    session = open_session(model.SerializeToString(), model.graph.name, settings)
    (source,), outputs = ([each.name for each in sides] for sides in (session.get_inputs(), session.get_outputs()))
    return lambda values: list(session.run(outputs, {source: values}))


def first_of(model: onnx.ModelProto, settings: Settings) -> Runner:
    """A forward graph of one output as a function."""
    run = opened(model, settings)
    return lambda images: run(images)[0]


def shared_pass(
    first: onnx.ModelProto, second: onnx.ModelProto, side: int, count: int, settings: Settings
) -> Callable[[Images], list[Floats]]:
    """Two forward graphs at one size, the first `count` stages computed once: the outputs of both."""
    common = opened(part(fed_with(first, side), [entry(first, count)]), settings)
    rests = [
        opened(part(model, [each.name for each in model.graph.output], entry(model, count)), settings)
        for model in (first, second)
    ]

    def run(images: Images) -> list[Floats]:
        (maps,) = common(images)
        return [answer for rest in rests for answer in rest(maps)]

    return run
