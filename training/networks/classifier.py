"""The classifier: a backbone, the mean of its maps, and one linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from torch import Tensor, nn

from training.networks.backbones import BackboneName, WithStages, build_backbone, read_old_names


class NetworkSpec(BaseModel):
    """What is needed to build a classifier again before its weights are loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneName = Field(validation_alias=AliasChoices("backbone", "trunk"))
    classes: int = Field(ge=2)
    channels: Literal[1, 3] = 3
    dropout: float = Field(default=0.2, ge=0, lt=1)


class Classifier(WithStages):
    """Backbone, average pooling, dropout, one linear layer: pixels (N, C, H, W) in [0, 1] to logits (N, classes)."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone, spec.channels)
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(self.backbone.features, spec.classes)
        read_old_names(self)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.pooled(pixels)))
        return logits

    def pooled(self, pixels: Tensor) -> Tensor:
        """Backbone features averaged over the image: (N, features)."""
        return F.adaptive_avg_pool2d(self.backbone(pixels), 1).flatten(1)

    @property
    def backbone_name(self) -> str:
        return self.spec.backbone


def norms(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """Every batch norm inside."""
    return (child for child in module.modules() if isinstance(child, nn.BatchNorm2d))
