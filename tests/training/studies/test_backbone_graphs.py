"""Forward graphs of two models on one backbone: what is shared, cut and joined answers what torch does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from phototriage.runtime.forward_graph import forward_only
from phototriage.settings import Settings
from tests.drawings import drawing
from tests.training.gradient_graph.test_graph import rule_of
from training.gradient_graph.graph import build_onnx
from training.networks.classifier import Classifier, NetworkSpec
from training.networks.embedder import Embedder, EmbedderSpec
from training.studies.backbone_graphs import (
    LAST,
    common_stages,
    fed_with,
    last_layer,
    opened,
    shared_pass,
    stages_of,
    transplanted,
    with_features,
)

SETTINGS = Settings(provider="cpu", threads=1)
SHARED, SIZE, OTHER = 2, 64, 32  # stages, pixels of the classifier and of the embedder


class Two:
    """A classifier and an embedder whose first stages are the same, in torch and as forward graphs."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.classifier = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2)).eval()
        self.embedder = Embedder(EmbedderSpec(dimension=4)).eval()
        for own, other in list(zip(self.classifier.stages(), self.embedder.stages(), strict=True))[:SHARED]:
            own.load_state_dict(other.state_dict())
        self.logits_model = build_onnx(self.classifier, rule_of(SIZE))
        self.embedding_model = build_onnx(self.embedder, rule_of(OTHER), "embedding")
        self.logits = forward_only(self.logits_model)
        self.embedding = forward_only(self.embedding_model, ("embedding",))


@pytest.fixture(scope="module")
def two() -> Two:
    return Two()


def images_of(side: int, count: int = 3) -> NDArray[np.uint8]:
    return np.stack([np.asarray(drawing(i, (side, side))) for i in range(count)])


def in_torch(answer: Callable[[torch.Tensor], torch.Tensor], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = answer(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) / 255).numpy()
    return found


def test_stages_with_the_same_weights_are_counted(two: Two) -> None:
    found = stages_of(two.logits, two.embedding)
    assert common_stages(found) == SHARED
    assert [one.differ for one in found[:SHARED]] == [0] * SHARED
    # Each convolution has its weights and, from the folded batch norm, as many biases as channels.
    assert found[0].weights == 32 * 3 * 9 + 32
    assert common_stages(stages_of(two.logits, two.logits)) == 9


@pytest.mark.parametrize("side", [SIZE, OTHER])
def test_a_shared_pass_answers_what_two_passes_do(two: Two, side: int) -> None:
    images = images_of(side)
    logits, embedding = shared_pass(two.logits, two.embedding, side, SHARED, SETTINGS)(images)
    np.testing.assert_allclose(logits, in_torch(two.classifier, images), atol=1e-5)
    np.testing.assert_allclose(embedding, in_torch(two.embedder, images), atol=1e-5)


def test_features_are_what_the_last_layer_reads_and_the_average(two: Two) -> None:
    images = images_of(SIZE)
    embedding, features = opened(with_features(fed_with(two.embedding, SIZE)), SETTINGS)(images)
    np.testing.assert_allclose(features[:, :-LAST], in_torch(two.embedder.pooled, images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last_layer(two.embedding).embed(features[:, :-LAST]), embedding, atol=1e-6)


def test_a_transplanted_backbone_gives_the_donor_s_features(two: Two) -> None:
    images = images_of(SIZE)
    graph = with_features(fed_with(transplanted(two.embedding, two.logits), SIZE))
    _, features = opened(graph, SETTINGS)(images)
    np.testing.assert_allclose(features[:, -LAST:], in_torch(two.classifier.pooled, images), rtol=1e-4, atol=1e-5)
