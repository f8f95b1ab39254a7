"""The accelerated depthwise backward pass gives the library's gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.networks.classifier import Classifier, NetworkSpec
from training.networks.depthwise import accelerate


def gradients(conv: nn.Conv2d, x: Tensor, bf16: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output and both gradients, for a fixed gradient of the output."""
    x = x.clone().requires_grad_()
    conv.weight.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = conv(x)
    target = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward((y.float() * target).sum())
    assert x.grad is not None
    assert conv.weight.grad is not None
    return y.detach().float(), x.grad, conv.weight.grad


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (3, 2, 0), (5, 2, 0), (3, 2, 1)])
@pytest.mark.parametrize("size", [(17, 17), (16, 21)])
def test_gradients_are_those_of_the_library(kernel: int, stride: int, padding: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=False)
    x = torch.randn(3, 6, *size)
    exact = gradients(conv, x, bf16=False)
    accelerate(conv)
    for found, expected in zip(gradients(conv, x, bf16=True), exact, strict=True):
        assert ((found - expected).abs().max() / expected.abs().max()).item() < 0.02  # bfloat16 has 8 bits


def test_float32_stays_with_the_library() -> None:
    conv = nn.Conv2d(4, 4, 5, 2, 0, groups=4, bias=False)
    x = torch.randn(2, 4, 13, 13)
    expected = gradients(conv, x, bf16=False)
    accelerate(conv)
    for found, one in zip(gradients(conv, x, bf16=False), expected, strict=True):
        assert torch.equal(found, one)


def test_only_depthwise_convolutions_are_touched_and_the_state_stays() -> None:
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2))
    names = list(network.state_dict())
    accelerate(network)
    touched = [module for module in network.modules() if "forward" in vars(module)]
    assert len(touched) == 16  # one a block
    assert list(network.state_dict()) == names
