"""The comparison accepts torch's own answers and refuses wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.agreement import Agreement, DisagreementError, Floats, Images, compare
from training.drawn_images import drawn_images
from training.featout import input_gradients
from training.networks import Classifier, NetworkSpec

IMAGES = drawn_images(13, 32, 32, 3)


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.manual_seed(0)
    return Classifier(NetworkSpec(trunk="small_cnn", classes=3)).eval()


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
    Agreement(1e-6, correlations, correlations, errors, errors).check()
    correlations[1] = 0.9
    with pytest.raises(DisagreementError, match="2 of 24"):
        Agreement(1e-6, correlations, correlations, errors, errors).check()


def test_of_drawn_images_one_in_eight_may_sit_on_a_kink() -> None:
    errors, correlations = np.full(24, 1e-6), np.ones(24)
    correlations[:3] = 0.995
    Agreement(1e-6, correlations, correlations, errors, errors, drawn=True).check()
    correlations[3] = 0.995
    with pytest.raises(DisagreementError, match="4 of 24"):
        Agreement(1e-6, correlations, correlations, errors, errors, drawn=True).check()
    correlations[:4] = (0.98, 1, 1, 1)
    with pytest.raises(DisagreementError, match=r"least is 0\.98"):
        Agreement(1e-6, correlations, correlations, errors, errors, drawn=True).check()


def test_a_noisy_gradient_is_refused() -> None:
    errors = np.full(24, 1e-6)
    with pytest.raises(DisagreementError, match=r"3\.00 times"):
        Agreement(1e-6, np.ones(24), np.ones(24), 3 * errors, errors).check()


def test_answers_that_are_not_finite_are_refused() -> None:
    errors = np.full(24, 1e-6)
    with pytest.raises(DisagreementError, match="nan"):
        Agreement(float("nan"), np.ones(24), np.ones(24), errors, errors).check()
    with pytest.raises(DisagreementError, match="24 of 24"):
        Agreement(0.0, np.full(24, np.nan), np.full(24, np.nan), errors, errors).check()


def test_drawn_images_repeat_and_differ() -> None:
    again = drawn_images(13, 32, 32, 3)
    np.testing.assert_array_equal(IMAGES, again)
    assert len({image.tobytes() for image in IMAGES}) == 13
    assert drawn_images(2, 28, 28, 1).shape == (2, 28, 28, 1)
