"""The comparison accepts torch's own answers and refuses wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.data.drawn_images import drawn_images
from training.export.agreement import Agreement, DisagreementError, Floats, Images, compare, jumps_within_rounding
from training.featout.featout import input_gradients
from training.networks.classifier import Classifier, NetworkSpec

IMAGES = drawn_images(13, 32, 32, 3)
NONE = np.zeros(24, bool)


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(NetworkSpec(backbone="small_cnn", classes=3)).eval()


def through_torch(network: Classifier, images: Images, weights: Floats) -> tuple[Floats, Floats]:
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) / 255
    gradients, logits = input_gradients(network, pixels, torch.from_numpy(weights).argmax(1))
    return logits.numpy(), gradients.permute(0, 2, 3, 1).numpy()


def test_torch_agrees_with_itself(network: Classifier) -> None:
    agreement = compare(network, lambda images, weights: through_torch(network, images, weights), IMAGES)
    agreement.check()
    assert len(agreement.correlations) == 13
    assert agreement.logits < 1e-5
    assert agreement.error_ratio == pytest.approx(1, abs=0.3)
    assert 0 < np.median(agreement.torch_errors) < 1e-4
    assert "n = 13" in agreement.text()


def test_wrong_logits_are_refused(network: Classifier) -> None:
    def explain(images: Images, weights: Floats) -> tuple[Floats, Floats]:
        logits, gradient = through_torch(network, images, weights)
        return logits + np.float32(0.01), gradient

    with pytest.raises(DisagreementError, match="logits differ"):
        compare(network, explain, IMAGES).check()


def test_the_gradient_of_another_label_is_refused(network: Classifier) -> None:
    def explain(images: Images, weights: Floats) -> tuple[Floats, Floats]:
        logits, _ = through_torch(network, images, weights)
        return logits, through_torch(network, images, np.roll(weights, 1, axis=1))[1]

    with pytest.raises(DisagreementError, match="13 of 13 gradients"):
        compare(network, explain, IMAGES).check()


def test_answers_that_depend_on_batch_mates_are_refused(network: Classifier) -> None:
    def explain(images: Images, weights: Floats) -> tuple[Floats, Floats]:
        logits, gradient = through_torch(network, images, weights)
        return logits + 0.1 * (logits.mean(0) - logits), gradient

    with pytest.raises(DisagreementError, match="logits differ"):
        compare(network, explain, IMAGES).check()


def test_one_image_on_a_kink_is_allowed_and_two_of_24_are_not() -> None:
    correlations = np.ones(24)
    correlations[0] = 0.9
    errors = np.full(24, 1e-6)
    Agreement(1e-6, correlations, correlations, errors, errors, NONE).check()
    correlations[1] = 0.9
    with pytest.raises(DisagreementError, match="2 of 24"):
        Agreement(1e-6, correlations, correlations, errors, errors, NONE).check()


def test_what_the_exact_gradient_shows_too_is_no_disagreement() -> None:
    errors, correlations = np.full(24, 1e-6), np.ones(24)
    correlations[:3] = 0.9
    kinks = np.arange(24) < 2
    Agreement(1e-6, correlations, correlations, errors, errors, kinks).check()
    correlations[3] = 0.9
    with pytest.raises(DisagreementError, match="2 of 24"):
        Agreement(1e-6, correlations, correlations, errors, errors, kinks).check()


class _Kink(nn.Module):
    """The sum of the first channel, and that of the second where it is brighter than a half: a kink at a half."""

    def forward(self, pixels: Tensor) -> Tensor:
        brighter = torch.relu(pixels[:, 1:2] - 0.5)
        return (pixels[:, :1] + brighter).mean((2, 3))


@pytest.mark.parametrize(("brightness", "jumps"), [(0.5, True), (0.5 + 1e-8, True), (0.6, False), (0.4, False)])
def test_a_kink_is_where_the_gradient_jumps_within_rounding(brightness: float, jumps: bool) -> None:
    pixels = torch.full((1, 3, 4, 4), brightness)
    # From both halves to the first alone is a correlation of 1/√2; with some pixels on either side it lies between.
    assert jumps_within_rounding(_Kink(), pixels, torch.tensor([0]), 0.9) is jumps


def test_photos_are_never_excused(network: Classifier) -> None:
    def explain(images: Images, weights: Floats) -> tuple[Floats, Floats]:
        logits, gradient = through_torch(network, images, weights)
        return logits, gradient + np.float32(0.05) * gradient[:, ::-1]

    photos = compare(network, explain, IMAGES)
    assert not photos.kinks.any()
    drawn = compare(network, explain, IMAGES, drawn=True)
    np.testing.assert_array_equal(photos.correlations, drawn.correlations)
    with pytest.raises(DisagreementError, match="median error against float64"):
        drawn.check()  # a wrong gradient is wrong everywhere, whatever sits on a kink


def test_a_noisy_gradient_is_refused() -> None:
    errors = np.full(24, 2e-4)
    with pytest.raises(DisagreementError, match=r"3\.00 times"):
        Agreement(1e-6, np.ones(24), np.ones(24), 3 * errors, errors, NONE).check()


def test_answers_that_are_not_finite_are_refused() -> None:
    errors = np.full(24, 1e-6)
    with pytest.raises(DisagreementError, match="nan"):
        Agreement(float("nan"), np.ones(24), np.ones(24), errors, errors, NONE).check()
    with pytest.raises(DisagreementError, match="24 of 24"):
        Agreement(0.0, np.full(24, np.nan), np.full(24, np.nan), errors, errors, NONE).check()


def test_drawn_images_repeat_and_differ() -> None:
    again = drawn_images(13, 32, 32, 3)
    np.testing.assert_array_equal(IMAGES, again)
    assert len({image.tobytes() for image in IMAGES}) == 13
    assert drawn_images(2, 28, 28, 1).shape == (2, 28, 28, 1)


@pytest.mark.parametrize(("error", "is_refused"), [(2e-4, False), (4e-4, True)])
def test_errors_of_a_few_units_on_a_kink_are_no_disagreement(error: float, is_refused: bool) -> None:
    """Where torch's own has none, though as many times larger."""
    ones, errors, own = np.ones(24), np.full(24, error), np.full(24, 1.7e-5)
    agreement = Agreement(1e-6, ones, ones, errors, own, NONE)
    if is_refused:
        with pytest.raises(DisagreementError, match="times torch-float32's own"):
            agreement.check()
    else:
        agreement.check()
