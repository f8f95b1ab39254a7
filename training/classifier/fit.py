"""The training of a classifier: augmented images, a part of them erased, and validation by accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import AliasChoices, Field
from torch import Tensor

from phototriage.images.input_config import InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from training.data.augmentation import Augmentation, random_erasing
from training.data.batches import batches, epoch_order, to_pixels
from training.data.dataset import Dataset
from training.featout.featout import FeatOut, patches_at
from training.loop.compute import Compute
from training.loop.evaluation import accuracy, cross_entropy, predict
from training.loop.loop import EpochResult, Loop, LoopSettings, Schedule, Watcher
from training.networks.classifier import Classifier, norms


class FitSettings(LoopSettings):
    """What decides a training, beside the data and the starting weights."""

    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0, validation_alias=AliasChoices("learning_rate", "rate"))
    weight_decay: float = Field(default=0.02, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    # Per step, of the weights' moving average.
    ema_decay: float = Field(default=0.99, ge=0, lt=1, validation_alias=AliasChoices("ema_decay", "average"))
    frozen_stages: int = Field(default=0, ge=0)
    frozen_norms: bool = False  # keep the pretrained statistics; sensible for small batches and small sets
    erasing: Literal["none", "random", "featout"] = "none"
    featout: FeatOutConfig | None = None
    erasing_probability: float = Field(default=0.4, ge=0, le=1)
    augmentation: bool = True


@dataclass(frozen=True)
class Epoch(EpochResult):
    drawn = ("loss", "train_accuracy", "val_loss", "val_accuracy")
    loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float

    def summary(self) -> str:
        return f"loss {self.loss:.4f}  validation loss {self.val_loss:.4f}  accuracy {self.val_accuracy:.4f}"


class ErasingWatcher(Watcher):
    def erased(self, epoch: int, before: Tensor, after: Tensor) -> None:
        """The first batch of an epoch (N, C, H, W) in [0, 1], before and after erasing."""


class Fit(Loop[Epoch, list[int], tuple[Tensor, Tensor]]):
    """One training of `network` on the records `train`, choosing its best epoch on `val`, or the last if that is empty.

    After `run()` the network holds the best epoch's averaged weights.
    """

    schedule = Schedule(warm_up_parts=20, start=None)
    result_type = Epoch
    network: Classifier
    settings: FitSettings
    watcher: ErasingWatcher

    def __init__(
        self,
        network: Classifier,
        data: Dataset,
        train: Sequence[int],
        val: Sequence[int],
        rule: InputConfig,
        settings: FitSettings,
        *,
        compute: Compute,
        watcher: ErasingWatcher,
        folder: Path | None = None,
    ) -> None:
        super().__init__(network, settings, compute, watcher, folder, settings.ema_decay)
        self.data, self.train, self.val, self.rule = data, train, val, rule
        weights = network.freeze(settings.frozen_stages)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [w for w in weights if w.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
        )
        self.augmentation = Augmentation() if settings.augmentation else None
        self.featout = FeatOut(settings.featout, settings.erasing_probability) if settings.featout else None

    def plan(self, epoch: int) -> list[list[int]]:
        order, size = epoch_order(self.train, self.settings.seed, epoch), self.settings.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def batches(self, epoch: int, plan: Sequence[list[int]]) -> Iterable[tuple[Tensor, Tensor]]:
        self.network.train()
        for stage in self.network.stages()[: self.settings.frozen_stages]:
            stage.eval()
        if self.settings.frozen_norms:
            for norm in norms(self.network):
                norm.eval()
        return batches(
            self.data,
            [record for batch in plan for record in batch],
            self.rule,
            batch_size=self.settings.batch_size,
            workers=self.compute.workers,
            augmentation=self.augmentation,
            seed=(self.settings.seed, epoch),
        )

    def step(self, batch: tuple[Tensor, Tensor], epoch: int, step: int) -> Mapping[str, float]:
        images, labels = batch[0], batch[1].to(self.compute.device)
        seed = hash((self.settings.seed, epoch, step)) % 2**31  # integers hash alike in every process
        torch.manual_seed(seed)  # for dropout
        generator = torch.Generator().manual_seed(seed)
        pixels = to_pixels(images, self.compute.device)
        if self.augmentation is not None:
            pixels = self.augmentation.tones(pixels, generator)
        with self.compute.precision():
            erased = self._erase(pixels, labels, epoch, generator)
            logits = self.network(erased)
        if step == 0:
            self.watcher.erased(epoch, pixels, erased)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.settings.label_smoothing)
        self.descend(loss)
        right = (logits.argmax(1) == labels).sum().item()
        return {"loss": loss.item() * len(labels), "right": right, "seen": len(labels)}

    def _erase(self, pixels: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> Tensor:
        settings = self.settings
        if settings.erasing == "random":
            return random_erasing(pixels, generator, settings.erasing_probability)
        if settings.erasing == "featout":
            assert self.featout is not None
            patches = patches_at(epoch, settings.epochs, self.featout.rule)
            return self.featout(self.network, pixels, labels, patches, generator)
        return pixels

    def means(self) -> Mapping[str, float]:
        return {"loss": self.sums["loss"] / self.sums["seen"], "accuracy": self.sums["right"] / self.sums["seen"]}

    def validate(self, epoch: int) -> Epoch:
        """Accuracy and cross-entropy on `val`; zeros if that is empty."""
        val_accuracy = val_loss = 0.0
        if self.val:
            logits = predict(self.candidate, self.data, self.val, self.rule, self.compute)
            labels = self.data.targets[list(self.val)]
            val_accuracy, val_loss = accuracy(logits, labels), cross_entropy(logits, labels)
        return Epoch(
            epoch=epoch,
            seconds=self.sums["seconds"],
            best=False,
            loss=self.means()["loss"],
            train_accuracy=self.means()["accuracy"],
            val_loss=val_loss,
            val_accuracy=val_accuracy,
        )

    def is_best(self, result: Epoch) -> bool:
        def score(epoch: Epoch) -> tuple[float, float]:
            return epoch.val_accuracy, -epoch.val_loss

        return not self.val or all(score(result) > score(earlier) for earlier in self.results())
