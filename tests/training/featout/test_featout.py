"""FeatOut in torch: the hand-worked cases, agreement with the core, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import featout_strength, smooth_map
from tests.featout_cases import Case, cases
from training.featout.featout import (
    FeatOut,
    box_blur,
    evaluation_mode,
    input_gradients,
    patches_at,
    remove,
    smooth_maps,
    strengths,
)
from training.networks.classifier import Classifier, NetworkSpec

ALL_RULES = [
    FeatOutConfig(variant="single"),
    *(FeatOutConfig(patches=n, removal_share=share) for n in (1, 3, 8) for share in (0.1, 0.35)),
]


def small_network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(NetworkSpec(backbone="small_cnn", classes=3))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_strengths_of_hand_worked_maps(case: Case) -> None:
    result = strengths(torch.from_numpy(case.smooth)[None], case.config)[0]
    np.testing.assert_allclose(result.numpy(), case.strength, atol=1e-6)


@pytest.mark.parametrize("rule", ALL_RULES, ids=str)
def test_torch_and_core_agree_on_a_batch_of_random_maps(rule: FeatOutConfig) -> None:
    maps = torch.rand(6, 33, 41, generator=torch.Generator().manual_seed(1))
    maps[3] = 0.25  # flat, among others
    expected = np.stack([featout_strength(one.numpy(), rule) for one in maps])
    np.testing.assert_allclose(strengths(maps, rule).numpy(), expected, atol=1e-6)


def test_torch_and_core_smooth_alike() -> None:
    gradients = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(2))
    expected = np.stack([smooth_map(one.permute(1, 2, 0).numpy()) for one in gradients])
    np.testing.assert_allclose(smooth_maps(gradients).numpy(), expected, rtol=1e-5)


def test_gradients_are_those_of_the_target_logit_of_a_linear_model() -> None:
    linear = nn.Linear(12, 2, bias=False)
    network, weights = nn.Sequential(nn.Flatten(), linear), linear.weight.detach()
    gradients, _ = input_gradients(network, torch.rand(2, 3, 2, 2), torch.tensor([1, 0]))
    torch.testing.assert_close(gradients.flatten(1), weights[[1, 0]])


def test_mode_statistics_and_gradients_stay_untouched() -> None:
    network = small_network().train()
    frozen = network.stages()[1]
    frozen.eval()  # some layers are frozen in eval mode during fine-tuning, and must stay so
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    input_gradients(network, torch.rand(4, 3, 32, 32), torch.zeros(4, dtype=torch.long))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_mode_is_restored_after_an_error() -> None:
    network = small_network().train()
    with pytest.raises(RuntimeError, match="inside"), evaluation_mode(network):
        raise RuntimeError("inside")
    assert network.training


def test_box_blur_is_the_mean_over_existing_pixels() -> None:
    pixels = torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(3))
    expected = torch.nn.functional.avg_pool2d(pixels, 5, stride=1, padding=2, count_include_pad=False)
    torch.testing.assert_close(box_blur(pixels, 5), expected)


def test_removal_moves_pixels_to_the_fill_by_their_strength() -> None:
    pixels = torch.full((1, 1, 2, 2), 0.8)
    strength = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    result = remove(pixels, strength, FeatOutConfig(fill="black"))
    torch.testing.assert_close(result[0, 0], torch.tensor([[0.8, 0.4], [0.0, 0.6]]))


def test_removed_pixels_take_the_mean_colour() -> None:
    pixels = torch.tensor([[[[0.0, 1.0]], [[0.2, 0.4]]]])  # (1, 2 channels, 1, 2): means .5 and .3
    result = remove(pixels, torch.ones(1, 1, 2), FeatOutConfig(fill="mean"))
    torch.testing.assert_close(result, torch.tensor([[[[0.5, 0.5]], [[0.3, 0.3]]]]))


@pytest.mark.parametrize(("epochs", "expected"), [(1, [0]), (2, [0, 5]), (5, [0, 1, 2, 4, 5]), (6, [0, 1, 2, 3, 4, 5])])
def test_patches_grow_linearly_from_a_clean_first_epoch(epochs: int, expected: list[int]) -> None:
    assert [patches_at(epoch, epochs, FeatOutConfig(patches=5)) for epoch in range(epochs)] == expected


def test_the_single_variant_has_one_patch_after_a_clean_first_epoch() -> None:
    assert [patches_at(epoch, 3, FeatOutConfig(variant="single")) for epoch in range(3)] == [0, 1, 1]


def test_only_images_that_the_network_has_right_are_treated() -> None:
    network = small_network()
    pixels = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with evaluation_mode(network), torch.no_grad():
        predicted = network(pixels).argmax(1)
    labels = predicted.clone()
    labels[::2] = (labels[::2] + 1) % 3
    featout = FeatOut(FeatOutConfig(), probability=1.0)
    result = featout(network, pixels, labels, 5, torch.Generator().manual_seed(5))
    changed = (result != pixels).flatten(1).any(1)
    assert changed.tolist() == [False, True] * 4


def test_probability_and_a_clean_epoch_leave_images_unchanged() -> None:
    network, pixels = small_network(), torch.rand(3, 3, 32, 32)
    labels = torch.zeros(3, dtype=torch.long)
    generator = torch.Generator().manual_seed(6)
    assert FeatOut(FeatOutConfig(), 0.0)(network, pixels, labels, 5, generator) is pixels
    assert FeatOut(FeatOutConfig(), 1.0)(network, pixels, labels, 0, generator) is pixels
