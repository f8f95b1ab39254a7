"""ONNX nodes of each kind of layer, forward, and the rule that writes the nodes of its input gradient.

The rules hold to operations that ONNX Runtime keeps in its blocked layout (NCHWc): convolutions, Mul, Add and
HardSigmoid. Everything else (Where, Greater, Sign, Clip outside a convolution) would cost two reorders a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from phototriage.common.errors import PhototriageError

# HardSigmoid of this slope is a step: 0 at 0, 1 from 1e-30 up. A power of two, so that slope × 6 is exact.
STEP = 2.0**100


class UnsupportedLayer(PhototriageError):
    """A layer or an arrangement of layers whose gradient has no rule here."""

    code = "unsupported_layer"
    title = "The network can't be exported with its gradient"


class Value(NamedTuple):
    """A float32 tensor of the graph: its name, and its shape without the batch axis."""

    name: str
    shape: tuple[int, ...]


Pads = tuple[int, int, int, int]  # top, left, bottom, right
Rule = Callable[[Value], Sequence[Value]]


class Step(NamedTuple):
    """One differentiable operation: `rule` takes the gradient at `output` to the gradients at `inputs`."""

    output: Value
    inputs: tuple[Value, ...]
    rule: Rule


class GraphWriter:
    """Nodes and weights under construction, and the steps to differentiate."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self._steps: list[Step] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def backward(self, output: Value, gradient: Value) -> dict[str, Value]:
        """Write the reverse pass from `gradient` at `output`. Returns the gradients of what no step computes."""
        gradients = {output.name: gradient}
        for step in reversed(self._steps):
            arrived = gradients.pop(step.output.name, None)
            if arrived is None:
                continue  # doesn't lead to the output
            for value, part in zip(step.inputs, step.rule(arrived), strict=True):
                known = gradients.get(value.name)
                gradients[value.name] = part if known is None else self._sum(known, part)
        return gradients

    # Building blocks

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node and return the name of its first output; the second's ends in `_1`."""
        name = f"{op.lower()}_{len(self.nodes)}"
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op, list(inputs), names, name, **attributes))
        return name

    def constant(self, array: NDArray[Any]) -> str:
        """The name of an initializer of these values; equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self.weights.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def floats(self, values: Tensor | float) -> str:
        plain = values.detach().numpy() if isinstance(values, Tensor) else values
        return self.constant(np.asarray(plain, np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def _done(self, output: Value, rule: Rule, *inputs: Value) -> Value:
        self._steps.append(Step(output, inputs, rule))
        return output

    def _sum(self, a: Value, b: Value) -> Value:
        return Value(self.node("Add", a.name, b.name), _broadcast(a, b))

    def _product(self, a: Value, b: Value) -> Value:
        return Value(self.node("Mul", a.name, b.name), _broadcast(a, b))

    def _scaled(self, a: Value, factor: Tensor | float) -> Value:
        return Value(self.node("Mul", a.name, self.floats(factor)), a.shape)

    def _reduced(self, gradient: Value, shape: tuple[int, ...]) -> Value:
        """The sum over the axes along which a value of `shape` was broadcast."""
        axes = [i + 1 for i, (a, b) in enumerate(zip(gradient.shape, shape, strict=True)) if b == 1 < a]
        if not axes:
            return gradient
        return Value(self.node("ReduceSum", gradient.name, self.ints(*axes), keepdims=1), shape)

    def _expanded(self, gradient: Value, shape: tuple[int, ...]) -> Value:
        """At its full size, a gradient that is the same over the image, such as an average's."""
        if gradient.shape == shape:
            return gradient
        return Value(self.node("Expand", gradient.name, self.ints(1, *shape)), shape)

    # Arithmetic

    def add(self, a: Value, b: Value | Tensor | float) -> Value:
        if isinstance(b, Value):
            y = self._sum(a, b)
            return self._done(y, lambda g: [self._reduced(g, a.shape), self._reduced(g, b.shape)], a, b)
        return self._done(Value(self.node("Add", a.name, self.floats(b)), a.shape), lambda g: [g], a)

    def multiply(self, a: Value, b: Value | Tensor | float) -> Value:
        if not isinstance(b, Value):
            return self._done(self._scaled(a, b), lambda g: [self._scaled(g, b)], a)

        def rule(g: Value) -> Sequence[Value]:
            return [
                self._reduced(self._product(g, b), a.shape),
                self._reduced(self._product(g, a), b.shape),
            ]

        return self._done(self._product(a, b), rule, a, b)

    # Activations

    def _inside(self, y: Value, top: float) -> Value:
        """1 where 0 < y < top, else 0, for y that was clamped to [0, top] (top may be infinite).

        Taken from the output, so that the runtime can still fuse the clamp with the convolution before it.
        """
        above = Value(self.node("HardSigmoid", y.name, alpha=STEP, beta=0.0), y.shape)
        if math.isinf(top):
            return above
        below = self.node("HardSigmoid", y.name, alpha=-STEP, beta=STEP * top)
        return self._product(above, Value(below, y.shape))

    def clamp(self, x: Value, top: float) -> Value:
        """ReLU (top infinite), ReLU6."""
        if math.isinf(top):
            y = Value(self.node("Relu", x.name), x.shape)
        else:
            y = Value(self.node("Clip", x.name, self.floats(0.0), self.floats(top)), x.shape)
        return self._done(y, lambda g: [self._product(g, self._inside(y, top))], x)

    def hard_sigmoid(self, x: Value) -> Value:
        s = Value(self.node("HardSigmoid", x.name, alpha=1 / 6, beta=0.5), x.shape)
        return self._done(s, lambda g: [self._scaled(self._product(g, self._inside(s, 1.0)), 1 / 6)], x)

    def hard_swish(self, x: Value) -> Value:
        """x·s with s the hard sigmoid of x; its slope is s + x/6 inside, s outside."""
        s = Value(self.node("HardSigmoid", x.name, alpha=1 / 6, beta=0.5), x.shape)

        def rule(g: Value) -> Sequence[Value]:
            inside = self._inside(s, 1.0)
            sixth = Value(self.node("HardSigmoid", inside.name, alpha=1 / 6, beta=0.0), x.shape)
            return [self._product(g, self._sum(s, self._product(x, sixth)))]

        return self._done(self._product(x, s), rule, x)

    # Convolution

    def conv(self, x: Value, layer: nn.Conv2d, pads: Pads) -> Value:
        """A convolution with a square window; `pads` replace the layer's own."""
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        plain = layer.kernel_size == (kernel, kernel) and layer.stride == (stride, stride)
        if not plain or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or max(pads) >= kernel > 1:
            raise UnsupportedLayer(f"{layer}: only square windows without dilation, padded by less than the kernel")
        weight = self.floats(layer.weight)
        inputs = [x.name, weight] + ([] if layer.bias is None else [self.floats(layer.bias)])
        window: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": pads,
            "group": layer.groups,
        }
        name = self.node("Conv", *inputs, **window)
        height, width = ((x.shape[i + 1] + pads[i] + pads[i + 2] - kernel) // stride + 1 for i in (0, 1))
        y = Value(name, (layer.out_channels, height, width))
        rule = self._conv_rule(x, y, layer, weight, pads)
        return self._done(y, lambda g: [Value(rule(self._expanded(g, y.shape)), x.shape)], x)

    def _conv_rule(self, x: Value, y: Value, layer: nn.Conv2d, weight: str, pads: Pads) -> Callable[[Value], str]:
        """Of three ways to write the transposed convolution the one that ONNX Runtime runs fastest.

        The backward kernels are nodes over the forward weights: the runtime folds them when it loads, and the
        file holds every weight once.
        """
        kernel, stride, groups = layer.kernel_size[0], layer.stride[0], layer.groups
        # Pixels at the end that the strided windows didn't reach.
        rest = [(x.shape[i + 1] + pads[i] + pads[i + 2] - kernel) % stride for i in (0, 1)]
        before = [kernel - 1 - pads[i] for i in (0, 1)]
        # The zero-inserted gradient below ends in stride - 1 zeros, which count as padding.
        after = [kernel - 1 - pads[i + 2] + rest[i] - (stride - 1) for i in (0, 1)]
        window: dict[str, Any] = {"kernel_shape": [kernel] * 2, "group": groups}

        def as_convolution(g: Value) -> str:
            source = g.name if stride == 1 else self._zeros_between(g, stride)
            return self.node("Conv", source, self._transposed(layer, weight), pads=before + after, **window)

        def as_transposed(g: Value) -> str:
            strides = [stride] * 2
            return self.node("ConvTranspose", g.name, weight, strides=strides, pads=pads, output_padding=rest, **window)

        depthwise = groups == layer.in_channels
        return as_convolution if stride == 1 or (depthwise and min(after) >= 0) else as_transposed

    def _zeros_between(self, g: Value, stride: int) -> str:
        """(N, C, h, w) → (N, C, stride·h, stride·w), the new rows and columns zero.

        One matrix product makes the columns and, as a second half of each row, the empty rows. ConvTranspose runs
        a depthwise layer channel by channel and takes more than twice as long.
        """
        channels, height, width = g.shape
        spread = np.zeros((width, stride * stride * width), np.float32)
        spread[np.arange(width), stride * np.arange(width)] = 1
        rows = self.node("MatMul", g.name, self.constant(spread))
        return self.node("Reshape", rows, self.ints(0, channels, stride * height, stride * width))

    def _transposed(self, layer: nn.Conv2d, weight: str) -> str:
        """Weights (out, in / groups, k, k) → (in, out / groups, k, k), the kernels turned by 180°."""
        outputs, inputs, groups, kernel = layer.out_channels, layer.in_channels, layer.groups, layer.kernel_size[0]
        if groups == 1:
            weight = self.node("Transpose", weight, perm=[1, 0, 2, 3])
        elif not outputs == inputs == groups:
            shape = (groups, outputs // groups, inputs // groups, kernel, kernel)
            weight = self.node("Reshape", weight, self.ints(*shape))
            weight = self.node("Transpose", weight, perm=[0, 2, 1, 3, 4])
            weight = self.node("Reshape", weight, self.ints(inputs, outputs // groups, kernel, kernel))
        if kernel == 1:
            return weight
        ends = np.iinfo(np.int64)
        back = self.ints(-1, -1)
        return self.node("Slice", weight, back, self.ints(ends.min, ends.min), self.ints(2, 3), back)

    # Pooling and the head

    def average(self, x: Value) -> Value:
        """Global average: (N, C, H, W) → (N, C, 1, 1)."""
        channels, height, width = x.shape
        y = Value(self.node("GlobalAveragePool", x.name), (channels, 1, 1))
        return self._done(y, lambda g: [self._scaled(g, 1 / (height * width))], x)

    def max_pool(self, x: Value, window: int) -> Value:
        """Maximum of windows that don't overlap; of equal pixels the first takes the gradient, as in torch."""
        square: dict[str, Any] = {"kernel_shape": [window] * 2, "strides": [window] * 2}
        name = self.node("MaxPool", x.name, outputs=2, **square)
        channels, height, width = x.shape
        y = Value(name, (channels, height // window, width // window))

        def rule(g: Value) -> Sequence[Value]:
            full = self._expanded(g, y.shape)
            batch = self.node("Shape", full.name, start=0, end=1)
            shape = self.node("Concat", batch, self.ints(*x.shape), axis=0)
            return [Value(self.node("MaxUnpool", full.name, f"{name}_1", shape, **square), x.shape)]

        return self._done(y, rule, x)

    def flatten(self, x: Value) -> Value:
        y = Value(self.node("Flatten", x.name), (math.prod(x.shape),))

        def rule(g: Value) -> Sequence[Value]:
            return [Value(self.node("Reshape", g.name, self.ints(0, *x.shape)), x.shape)]

        return self._done(y, rule, x)

    def linear(self, x: Value, layer: nn.Linear) -> Value:
        weight = self.floats(layer.weight)
        inputs = [x.name, weight] + ([] if layer.bias is None else [self.floats(layer.bias)])
        y = Value(self.node("Gemm", *inputs, transB=1), (layer.out_features,))
        return self._done(y, lambda g: [Value(self.node("Gemm", g.name, weight), x.shape)], x)


def _broadcast(a: Value, b: Value) -> tuple[int, ...]:
    return tuple(int(size) for size in np.broadcast_shapes(a.shape, b.shape))
