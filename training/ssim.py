"""Structural similarity of two images (Wang, Bovik, Sheikh & Simoncelli, 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # of the Gaussian that weights each neighbourhood
K1, K2 = 0.01, 0.03


def ssim(left: Tensor, right: Tensor) -> Tensor:
    """(N, C, H, W) each, in [0, 1], H and W at least WINDOW → (N,): the mean over places and channels, at most 1.

    Only windows that lie wholly in the image count. Population variances, as in the paper.
    """
    channels = left.shape[1]
    # Two passes of one dimension: the window is the product of its sides.
    line = _gaussian(left)
    rows = line.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    columns = line.view(1, 1, 1, -1).expand(channels, 1, 1, -1)

    def local_mean(maps: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(maps, rows, groups=channels), columns, groups=channels)

    a, b = local_mean(left), local_mean(right)
    variances = local_mean(left * left) - a * a + local_mean(right * right) - b * b
    covariance = local_mean(left * right) - a * b
    c1, c2 = K1**2, K2**2
    maps = (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
    return maps.mean((1, 2, 3))


def _gaussian(like: Tensor) -> Tensor:
    places = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    return weights / weights.sum()
