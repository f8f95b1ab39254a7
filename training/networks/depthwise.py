"""Depthwise convolutions in bfloat16 on the CPU, with a backward pass that isn't the library's reference code.

oneDNN has fast bfloat16 kernels for most of a depthwise convolution, but falls back to reference code for the input
gradient of strided ones and for the weight gradient of 5×5 ones. Here the first is a stride-1 convolution over the
zero-spread gradient, and the second is done in float32. What that saves: `python -m benchmarks.training_step`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAST_WEIGHT_KERNEL = 3  # the largest kernel whose bfloat16 weight gradient is fast


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = _for_input(gradient, x, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            kind = torch.bfloat16 if weight.shape[-1] <= FAST_WEIGHT_KERNEL else torch.float32
            for_weight = _for_weight(gradient.to(kind), x.to(kind), weight.to(kind), ctx.stride, ctx.padding)
            for_weight = for_weight.to(weight.dtype)
        return for_x, for_weight, None, None


def _for_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Weight gradient (C, 1, k, k), by the library."""
    _, found, _ = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [False, True, False],
    )
    assert isinstance(found, Tensor)
    return found


def _for_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Input gradient (N, C, H, W): a convolution with the flipped kernel; a strided one's gradient is first spread
    out with zeros between its pixels."""
    n, channels, height, width = x.shape
    margin = weight.shape[-1] - 1 - padding
    flipped = weight.flip(2, 3)
    if stride == 1:
        return F.conv2d(gradient, flipped, padding=margin, groups=channels)
    rows, columns = gradient.shape[2:]
    kernel = weight.shape[-1]
    spread = gradient.new_zeros(n, height + kernel - 1, width + kernel - 1, channels)  # channels last
    down, right = (slice(margin, margin + stride * (count - 1) + 1, stride) for count in (rows, columns))
    spread[:, down, right] = gradient.permute(0, 2, 3, 1)
    return F.conv2d(spread.permute(0, 3, 1, 2), flipped, groups=channels)


def accelerate(network: nn.Module) -> None:
    """Give the network's square depthwise convolutions the backward pass above, wherever bfloat16 on a CPU is used.

    Forward results, parameters and state_dict stay as they are. For training: copies made afterwards for export or
    evaluation carry it along, so accelerate what is trained, last.
    """
    for module in network.modules():
        if (
            isinstance(module, nn.Conv2d)
            and module.groups == module.in_channels == module.out_channels > 1
            and module.bias is None
            and module.kernel_size[0] == module.kernel_size[1]
            and module.dilation == (1, 1)
            and module.padding in ((0, 0), (1, 1), (2, 2))
        ):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(module: nn.Conv2d, x: Tensor) -> Tensor:
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
        kind = torch.get_autocast_dtype("cpu")
        padding = int(module.padding[0])
        y: Tensor = _Depthwise.apply(x.to(kind), module.weight.to(kind), module.stride[0], padding)
        return y
    return nn.Conv2d.forward(module, x)
