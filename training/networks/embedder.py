"""The embedder: EfficientNet-Lite0, generalised-mean pooling of several stages, one linear layer, unit length."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.networks.backbones import EfficientNetLite0, WithStages, read_old_names

FLOOR = 1e-6  # keeps the cube root's slope finite
# Output channels of the backbone's stages, by number.
CHANNELS = (32, 16, 24, 40, 80, 112, 192, 320, 1280)


class EmbedderSpec(BaseModel):
    """What is needed to build an embedder again before its weights are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dimension: int = Field(default=256, ge=2)
    taps: tuple[int, ...] = (4, 5, 6, 8)  # the stages that are pooled


class Embedder(WithStages):
    """Pixels (N, 3, H, W) in [0, 1], H and W multiples of 32, to unit embeddings (N, dimension)."""

    backbone: EfficientNetLite0

    def __init__(self, spec: EmbedderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = EfficientNetLite0()
        self.head = nn.Linear(sum(CHANNELS[tap] for tap in spec.taps), spec.dimension)
        read_old_names(self)

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.head(self.pooled(pixels)))

    def pooled(self, pixels: Tensor) -> Tensor:
        """The tapped stages, pooled: (N, features)."""
        x = pixels * (255 / 128) - 127 / 128  # as the published weights expect
        found = []
        for number, stage in enumerate(self.backbone.stages):
            x = stage(x)
            if number in self.spec.taps:
                found.append(generalised_mean(x))
        return torch.cat(found, 1)

    @property
    def backbone_name(self) -> str:
        return f"efficientnet_lite0, generalised mean of stages {', '.join(map(str, self.spec.taps))}"


def generalised_mean(maps: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C): the cube root of the mean cube of what is positive (GeM, arXiv 1711.02512, p = 3)."""
    cubes = F.relu(maps.float()).pow(3)
    return (F.adaptive_avg_pool2d(cubes, 1).flatten(1) + FLOOR).pow(1 / 3)


def discriminant(
    views: NDArray[np.float32], dimension: int, shrinkage: float = 0.1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (dimension, features) and bias (dimension) of the linear map that tells photos apart, whatever was
    done to them: `views` (photos, views, features) are whitened by the covariance within photos, then reduced to the
    directions in which photos differ most (learned whitening: Mikolajczyk & Matas 2007; arXiv 1711.02512, 3.3).

    shrinkage: share of the covariance within that is made the same in all directions; few photos need it.
    """
    means = views.mean(1, dtype=np.float64)
    spread = (views - means[:, None]).reshape(-1, views.shape[2]).astype(np.float64)
    within = spread.T @ spread / max(len(spread) - len(means), 1)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    values, vectors = np.linalg.eigh(within)
    whitening = vectors / np.sqrt(values) @ vectors.T
    centre = means.mean(0)
    # In full, since few photos span fewer directions than are wanted: the rest are at right angles to theirs.
    _, _, directions = np.linalg.svd((means - centre) @ whitening, full_matrices=True)
    weights = directions[:dimension] @ whitening
    return weights, -weights @ centre
