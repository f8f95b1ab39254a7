"""The input gradient as an ONNX output: against a case worked by hand, and against torch in float64."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from phototriage.images.input_config import InputConfig
from phototriage.model_folder.golden import correlation
from phototriage.runtime.forward_graph import forward_only
from training.data.drawn_images import drawn_images
from training.gradient_graph.graph import build_onnx, folded
from training.gradient_graph.layers import UnsupportedLayer
from training.networks.backbones import BackboneName
from training.networks.classifier import Classifier, NetworkSpec, norms
from training.networks.embedder import Embedder, EmbedderSpec

CLASSES = 3
Images = NDArray[np.uint8]
Floats = NDArray[np.float32]


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """torch runs float64 depthwise layers channel by channel; on busy cores, threads for each take minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rule_of(side: int, grey: bool = False) -> InputConfig:
    rgb = InputConfig(height=side, width=side, colour="rgb", resize="bilinear", antialias=True, aspect="stretch")
    return rgb.model_copy(update={"colour": "grey"}) if grey else rgb


def classifier(backbone: BackboneName, channels: int = 3) -> Classifier:
    torch.manual_seed(0)
    spec = NetworkSpec.model_validate({"backbone": backbone, "classes": CLASSES, "channels": channels})
    network = Classifier(spec).eval()
    if backbone == "efficientnet_lite0":
        network.backbone.load_packaged()  # type: ignore[operator]
        return network
    for norm in norms(network):  # statistics that a wrong fold would show
        nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.weight, 0.7, 1.4)
        nn.init.normal_(norm.bias, std=0.3)
    return network


def run(model: onnx.ModelProto, images: Images, weights: Floats) -> tuple[Floats, Floats]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits, gradient = session.run(["logits", "gradient"], {"images": images, "output_weights": weights})
    return logits, gradient


def exact(network: nn.Module, images: Images, weights: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """torch in float64."""
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).double().div(255).requires_grad_()
    logits: Tensor = copy.deepcopy(network).double()(pixels)
    (gradient,) = torch.autograd.grad((logits * torch.from_numpy(weights)).sum(), pixels)
    return logits.detach().numpy(), gradient.permute(0, 2, 3, 1).numpy()


def weights_for(batch: int) -> Floats:
    return np.random.default_rng(1).normal(size=(batch, CLASSES)).astype(np.float32)


class OneConvolution(nn.Module):
    """A 2×2 convolution of one grey channel and the mean of what it gives."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 2, stride, bias=False)
        self.conv.weight.data = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.conv(pixels), 1).flatten(1)


def test_one_convolution_by_hand() -> None:
    model = build_onnx(OneConvolution(stride=1), rule_of(8, grey=True))
    images = np.full((1, 8, 8, 1), 51, np.uint8)
    logits, gradient = run(model, images, np.ones((1, 1), np.float32))
    # Each of the 49 windows gives 0.2 · (1 + 2 + 3 + 4); a pixel takes the kernel's weight of every window it is in.
    np.testing.assert_allclose(logits, [[2.0]], rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 0, [0, 1, 7], 0] * 49, [1, 3, 2], rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 1, [0, 1, 7], 0] * 49, [4, 10, 6], rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 7, [0, 1, 7], 0] * 49, [3, 7, 4], rtol=1e-6)


def test_a_strided_convolution_by_hand() -> None:
    model = build_onnx(OneConvolution(stride=2), rule_of(8, grey=True))
    _, gradient = run(model, np.zeros((1, 8, 8, 1), np.uint8), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(gradient[0, :, :, 0] * 16, np.tile([[1, 2], [3, 4]], (4, 4)), rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize(
    ("backbone", "side", "channels"),
    [
        ("efficientnet_lite0", 64, 3),
        ("mobilenet_v3_small", 64, 3),
        ("small_cnn", 28, 1),
        ("small_cnn", 30, 3),  # odd sizes before two of the pools
    ],
)
def test_agrees_with_torch_in_float64(backbone: BackboneName, side: int, channels: int, batch: int) -> None:
    network = classifier(backbone, channels)
    images, weights = drawn_images(batch, side, side, channels, seed=2), weights_for(batch)
    logits, gradient = run(build_onnx(network, rule_of(side, channels == 1)), images, weights)
    expected_logits, expected = exact(network, images, weights)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4 * np.abs(expected_logits).max())
    correlations = [correlation(one, truth) for one, truth in zip(gradient, expected, strict=True)]
    # A ReLU unit on its kink may flip in float32, of either library; the median is beyond that.
    assert np.median(correlations) > 0.999999
    assert min(correlations) > 0.99
    assert np.median(np.abs(gradient - expected)) < 1e-5 * np.abs(expected).max()


def test_output_weights_choose_what_is_explained() -> None:
    network = classifier("small_cnn")
    model = build_onnx(network, rule_of(32))
    images = np.repeat(drawn_images(1, 32, 32, 3), 4, axis=0)
    weights = np.array([[1, 0, 0], [0, 1, 0], [1, -1, 0], [0, 0, 0]], np.float32)
    _, gradient = run(model, images, weights)
    np.testing.assert_allclose(gradient[2], gradient[0] - gradient[1], atol=1e-6 * np.abs(gradient).max())
    assert not gradient[3].any()
    assert correlation(gradient[0], gradient[1]) < 0.999


def test_each_image_is_explained_by_itself() -> None:
    model = build_onnx(classifier("efficientnet_lite0"), rule_of(64))
    images, weights = drawn_images(3, 64, 64, 3), weights_for(3)
    together = run(model, images, weights)
    for i in range(3):
        logits, gradient = run(model, images[i : i + 1], weights[i : i + 1])
        np.testing.assert_allclose(logits[0], together[0][i], rtol=1e-4, atol=1e-5)
        assert correlation(gradient[0], together[1][i]) > 0.9999


def test_every_weight_is_stored_once() -> None:
    network = classifier("efficientnet_lite0")
    model = build_onnx(network, rule_of(224))
    assert model.ByteSize() < 13.6e6
    hashes = Counter(numpy_helper.to_array(weight).tobytes() for weight in model.graph.initializer)
    assert max(hashes.values()) == 1


def test_masks_stay_in_the_runtime_s_blocked_layout() -> None:
    model = build_onnx(classifier("efficientnet_lite0"), rule_of(64))
    kinds = Counter(node.op_type for node in model.graph.node)
    assert not kinds.keys() & {"Where", "Greater", "Less", "Sign", "Pad", "BatchNormalization"}
    assert kinds["ConvTranspose"] == 1  # the first layer; the depthwise ones are ordinary convolutions
    assert {opset.domain for opset in model.opset_import} == {""}


def test_the_forward_part_answers_the_same_logits() -> None:
    whole = build_onnx(classifier("mobilenet_v3_small"), rule_of(64))
    images, weights = drawn_images(2, 64, 64, 3), weights_for(2)
    forward = forward_only(whole)
    session = onnxruntime.InferenceSession(forward.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"images": images})[0], run(whole, images, weights)[0], atol=1e-5)
    assert [each.name for each in forward.graph.input] == ["images"]


def test_the_network_stays_as_it_is() -> None:
    network = classifier("small_cnn").train()
    before = copy.deepcopy(network.state_dict())
    build_onnx(network, rule_of(32))
    assert network.training
    assert all(value.dtype == before[name].dtype for name, value in network.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.Softplus(), "Softplus"),
        (nn.Conv2d(1, 1, 3, dilation=2), "dilation"),
        (nn.MaxPool2d(3, stride=2), "MaxPool2d"),
        (nn.BatchNorm2d(1), "doesn't follow a convolution"),
    ],
)
def test_a_layer_without_a_rule_is_named(layer: nn.Module, told: str) -> None:
    network = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(UnsupportedLayer, match=told):
        build_onnx(network, rule_of(16, grey=True))


def test_an_embedder_against_float64() -> None:
    """Pooling of several stages, cube roots and unit length have gradients too."""
    torch.manual_seed(0)
    network = Embedder(EmbedderSpec(dimension=6)).eval()
    network.backbone.load_packaged()
    images = drawn_images(3, 64, 64, 3)
    weights = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    model = build_onnx(network, rule_of(64), "embedding")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    embedding, gradient = session.run(["embedding", "gradient"], {"images": images, "output_weights": weights})
    expected_embedding, expected = exact(folded(network), images, weights)
    np.testing.assert_allclose(embedding, expected_embedding, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    for one, truth in zip(gradient, expected, strict=True):
        assert correlation(one, truth) > 0.9999


class _Head(nn.Module):
    """What `HeadWriter` writes, on the mean of each channel and that of its square."""

    def forward(self, pixels: Tensor) -> Tensor:
        means = F.adaptive_avg_pool2d(pixels, 1).flatten(1)
        squares = F.adaptive_avg_pool2d(pixels.pow(2), 1).flatten(1)
        return F.normalize(torch.cat([means, (squares + 0.1).pow(0.5)], 1))


def test_powers_concatenation_and_unit_length_exactly() -> None:
    images = drawn_images(5, 8, 8, 3)
    weights = np.random.default_rng(2).normal(size=(5, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        build_onnx(_Head(), rule_of(8), "embedding").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    embedding, gradient = session.run(None, {"images": images, "output_weights": weights})
    expected_embedding, expected = exact(_Head(), images, weights)
    np.testing.assert_allclose(embedding, expected_embedding, rtol=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)
