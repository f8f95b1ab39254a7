"""Structural similarity of two images (Wang, Bovik, Sheikh & Simoncelli, 2004)."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # of the Gaussian that weights each neighbourhood
K1, K2 = 0.01, 0.03


def ssim(left: Tensor, right: Tensor) -> Tensor:
    """(N, C, H, W) each, in [0, 1], H and W at least WINDOW → (N,): the mean over places and channels, at most 1.

    Only windows that lie wholly in the image count. Population variances, as in the paper.
    """
    # The window is the product of its sides, so weighting is a product with a band matrix from either side; where that
    # leaves columns and rows exchanged, no matter. As products, since convolutions of few channels are slow.
    across, down = _band(left.shape[3], left), _band(left.shape[2], left)
    maps = torch.cat([left, right, left * left, right * right, left * right], dim=1)
    means = ((maps @ across).transpose(2, 3) @ down).chunk(5, dim=1)
    a, b = means[0], means[1]
    variances = means[2] - a * a + means[3] - b * b
    covariance = means[4] - a * b
    c1, c2 = K1**2, K2**2
    found = (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
    return found.mean((1, 2, 3))


def _band(length: int, like: Tensor) -> Tensor:
    """(length, length − WINDOW + 1): in each column the window's weights, one place further down."""
    weights = _gaussian(like)
    places = torch.arange(length, device=like.device)[:, None] - torch.arange(length - WINDOW + 1, device=like.device)
    inside = (places >= 0) & (places < WINDOW)
    return torch.where(inside, weights[places.clamp(0, WINDOW - 1)], 0)


def _gaussian(like: Tensor) -> Tensor:
    places = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    return weights / weights.sum()
