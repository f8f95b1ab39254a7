"""Classes as points among latents, the nearer the more probable: what makes distances to class centres tell classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Module):
    """Points and a scale, all learned (Snell et al. 2017, with free points): latents (N, D) in [0, 1] → logits (N, K),
    the negated squared distances to the points, scaled."""

    def __init__(self, classes: int, latent: int) -> None:
        super().__init__()
        self.points = nn.Parameter(0.5 + 0.05 * torch.randn(classes, latent))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, latent: Tensor) -> Tensor:
        squares = (latent.float()[:, None] - self.points[None]).square().sum(2)
        return -squares * self.log_scale.exp()

    def loss(self, latent: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats; targets (N, K): probabilities."""
        return F.cross_entropy(self(latent), targets)
