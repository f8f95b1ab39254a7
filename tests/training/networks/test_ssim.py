"""SSIM against scikit-image's, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from training.networks.ssim import ssim

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_as_scikit_image(channels: int) -> None:
    left = RNG.random((4, channels, 24, 31))
    right = np.clip(left + RNG.normal(0, 0.2, left.shape), 0, 1)
    found = ssim(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    for one, a, b in zip(found, left, right, strict=True):
        _, full = structural_similarity(  # type: ignore[no-untyped-call]
            a, b, channel_axis=0, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        assert one == pytest.approx(full[:, 5:-5, 5:-5].mean(), abs=1e-6)


def test_equal_images_and_flat_ones() -> None:
    image = torch.from_numpy(RNG.random((1, 3, 16, 16)))
    assert ssim(image, image).item() == pytest.approx(1, abs=1e-12)
    black, white = torch.zeros(1, 1, 11, 11), torch.ones(1, 1, 11, 11)
    # No variance: only the means count, (2·0·1 + c1) / (0 + 1 + c1), with c1 = 1e-4.
    assert ssim(black, white).item() == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-4)
