"""A trained network as one ONNX graph that answers its logits, or embedding, and as an ordinary output its gradient.

torch.fx traces the network, and every layer writes its forward nodes and then, in reverse, its gradient's: so the
cost of each node stays in our hands, and neither torch's private tracers nor its exporter are involved.
"""

from __future__ import annotations

import copy
import math
import operator
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from phototriage.images.input_config import InputConfig
from training.gradient_graph.heads import HeadWriter
from training.gradient_graph.layers import Pads, UnsupportedLayer, Value

OPSET = 20
IR_VERSION = 10  # the newest that ONNX Runtime 1.20 reads
PASSED_THROUGH = (nn.Dropout, nn.Identity)  # they do nothing in evaluation


def build_onnx(network: nn.Module, rule: InputConfig, output: str = "logits") -> onnx.ModelProto:
    """The ONNX model of a network (N, C, H, W) in [0, 1] → (N, K), in evaluation mode: a classifier's logits or an
    embedder's embedding, called `output`.

    Inputs: `images` uint8 (N, H, W, C); `output_weights` float32 (N, K).
    Outputs: `output` float32 (N, K); `gradient` float32 (N, H, W, C), of sum(output_weights · output) with respect
    to pixels scaled to [0, 1], signed, each image by itself.
    At a kink (an activation of exactly 0 or 6) the slope is 0, as in torch.
    Raises UnsupportedLayer, which names the layer, for a network with others than those of `training.networks`.
    """
    traced = folded(network)
    writer = HeadWriter()
    planes = writer.node("Cast", writer.node("Transpose", "images", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    pixels = Value(writer.node("Div", planes, writer.floats(255.0)), (rule.channels, rule.height, rule.width))
    last: Value = _Lowering(traced, writer).run(pixels)
    writer.nodes.append(helper.make_node("Identity", [last.name], [output], output))

    gradient = writer.backward(last, Value("output_weights", last.shape))[pixels.name]
    writer.nodes.append(helper.make_node("Transpose", [gradient.name], ["gradient"], "gradient", perm=[0, 2, 3, 1]))

    def declare(name: str, kind: int, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, ["N", *shape])

    size = (rule.height, rule.width, rule.channels)
    graph = helper.make_graph(
        writer.nodes,
        "phototriage",
        [declare("images", TensorProto.UINT8, *size), declare("output_weights", TensorProto.FLOAT, *last.shape)],
        [declare(output, TensorProto.FLOAT, *last.shape), declare("gradient", TensorProto.FLOAT, *size)],
        writer.weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="phototriage")
    onnx.checker.check_model(model, full_check=True)
    return model


def folded(network: nn.Module) -> fx.GraphModule:
    """A float64 copy in evaluation mode, with every batch norm put into the convolution before it, and without the
    casts to float32 that training in bfloat16 needs.

    Raises UnsupportedLayer for a batch norm elsewhere.
    """
    traced = fx.symbolic_trace(copy.deepcopy(network).double().eval())
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        if node.op == "call_method" and node.target == "float":
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        layer = modules.get(source.target) if source.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d) or len(source.users) != 1:
            raise UnsupportedLayer(f"batch norm {node.target!r} doesn't follow a convolution of its own")
        parent, _, name = source.target.rpartition(".")
        setattr(modules[parent], name, fuse_conv_bn_eval(layer, modules[node.target]))
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced


class _Lowering(fx.Interpreter):
    """Runs the traced network on `Value`s: every call writes nodes instead of computing."""

    def __init__(self, traced: fx.GraphModule, writer: HeadWriter) -> None:
        super().__init__(traced)
        self._writer = writer
        # Padding isn't written: it goes into the convolution that takes it. Padded name → (value, its pads).
        self._padded: dict[str, tuple[Value, Pads]] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        layer, x, write = self.fetch_attr(target), args[0], self._writer
        match layer:
            case nn.Conv2d():
                return self._conv(layer, x)
            case nn.ZeroPad2d():
                left, right, top, bottom = layer.padding
                padded = Value(f"{x.name} padded by {target}", x.shape)
                self._padded[padded.name] = (x, (top, left, bottom, right))
                return padded
            case nn.ReLU6():
                return write.clamp(x, 6.0)
            case nn.ReLU():
                return write.clamp(x, math.inf)
            case nn.Hardswish():
                return write.hard_swish(x)
            case nn.Hardsigmoid():
                return write.hard_sigmoid(x)
            case nn.AdaptiveAvgPool2d() if layer.output_size in (1, (1, 1)):
                return write.average(x)
            case nn.MaxPool2d(kernel_size=int(window)) if self._tiles(layer):
                return write.max_pool(x, window)
            case nn.Linear():
                return write.linear(x, layer)
            case _ if isinstance(layer, PASSED_THROUGH):
                return Value(*x)
        raise UnsupportedLayer(f"{target!r} is {layer}, for which there is no gradient rule")

    def _conv(self, layer: nn.Conv2d, x: Value) -> Value:
        if isinstance(layer.padding, str):
            raise UnsupportedLayer(f"{layer}: give the padding in pixels")
        down, right = layer.padding
        if x.name not in self._padded:
            return self._writer.conv(x, layer, (down, right, down, right))
        if down or right:
            raise UnsupportedLayer(f"{layer} pads what is padded already")
        return self._writer.conv(self._padded[x.name][0], layer, self._padded[x.name][1])

    @staticmethod
    def _tiles(layer: nn.MaxPool2d) -> bool:
        plain = layer.padding == 0 and layer.dilation == 1 and not layer.ceil_mode
        return plain and layer.stride == layer.kernel_size

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        if target is F.adaptive_avg_pool2d and args[1] in (1, (1, 1)):
            return self._writer.average(args[0])
        if target is F.relu:
            return self._writer.clamp(args[0], math.inf)
        if target is F.normalize and len(args) == 1 and kwargs.get("p", 2) == 2 and kwargs.get("dim", 1) == 1:
            return self._writer.unit(args[0])
        if target is torch.cat and args[1:] == (1,):
            return self._writer.concatenate(args[0])
        name = getattr(target, "__name__", str(target))
        if len(args) != 2 or kwargs:
            raise UnsupportedLayer(f"function {name!r} has no gradient rule")
        a, b = args
        commutes = target in (operator.add, operator.iadd, operator.mul)
        if commutes and not isinstance(a, Value):
            a, b = b, a
        if commutes:
            return self._writer.multiply(a, b) if target is operator.mul else self._writer.add(a, b)
        if isinstance(a, Value) and isinstance(b, (Tensor, float, int)):
            if target is operator.sub:
                return self._writer.add(a, -b)
            if target is operator.truediv:
                return self._writer.multiply(a, 1 / b)
        raise UnsupportedLayer(f"function {name!r} of {type(a).__name__} and {type(b).__name__} has no gradient rule")

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        if target == "flatten" and args[1:] == (1,):
            return self._writer.flatten(args[0])
        if target == "pow" and isinstance(args[1], (int, float)):
            return self._writer.power(args[0], args[1])
        raise UnsupportedLayer(f"method {target!r} has no gradient rule")
