"""A watcher of trainings that only keeps what it was told."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from training.autoencoder.fit import MeasuringWatcher
from training.classifier.fit import ErasingWatcher
from training.loop.loop import EpochResult


class Silent(ErasingWatcher, MeasuringWatcher):
    """epochs: their results; changed: for each first batch of a classifier, whether something was erased."""

    def __init__(self) -> None:
        self.epochs: list[EpochResult] = []
        self.changed: list[bool] = []

    def step(self, *, epoch: int, step: int, steps: int, images: int, figures: Mapping[str, float]) -> None:
        assert 0 < step <= steps
        assert images > 0
        assert figures

    def epoch(self, result: EpochResult) -> None:
        self.epochs.append(result)

    def erased(self, epoch: int, before: Tensor, after: Tensor) -> None:
        self.changed.append(not torch.equal(before, after))
