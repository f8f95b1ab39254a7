"""The training of an embedder: hard negatives from an index that is made anew each epoch, two losses in turn, and
validation on labelled pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from torch import Tensor, nn

from phototriage.images.input_config import InputConfig
from training.data.batches import to_pixels
from training.data.photos import Photos
from training.embedder.losses import EmbeddingLoss, Stage
from training.embedder.views import GUARD, VIEWS, nearest, outputs_for, plan_epoch, shot_batches
from training.loop.compute import Compute
from training.loop.loop import EpochResult, Loop, LoopSettings, Watcher
from training.networks.embedder import Embedder
from training.pairs.labelled_pairs import Pair, PairSets, Shot, similarities_of, uploads_of, validation_figures


class EmbedderSettings(LoopSettings):
    """What decides a training, beside the photos and the starting weights."""

    epochs: int = Field(default=5, ge=1)
    small_epochs: int = Field(default=4, ge=0)  # the first ones, at small_size
    small_size: int = Field(default=160, ge=32)
    triplet_epochs: int = Field(default=1, ge=0)  # the last ones
    # Pairs of a photo and a hard negative in a batch, each photo in VIEWS views.
    hard_negative_pairs: int = Field(default=12, ge=1, validation_alias=AliasChoices("hard_negative_pairs", "couples"))
    learning_rate: float = Field(default=4e-4, gt=0, validation_alias=AliasChoices("learning_rate", "rate"))
    head_learning_rate: float = Field(
        default=1e-3, gt=0, validation_alias=AliasChoices("head_learning_rate", "head_rate")
    )
    weight_decay: float = Field(default=0.02, ge=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1, validation_alias=AliasChoices("ema_decay", "average"))
    frozen_stages: int = Field(default=4, ge=0)
    memory: int = Field(default=4096, ge=1)
    temperature: float = Field(default=0.05, gt=0)
    entropy: float = Field(default=3.0, ge=0)
    margin: float = Field(default=0.3, gt=0)
    neighbours: int = Field(default=20, ge=1)
    repeats: int = Field(default=3, ge=1)  # how often, at most, a small source's photos come in an epoch


@dataclass(frozen=True)
class EmbedderEpoch(EpochResult):
    """f1 and average precision are of the validation pairs."""

    drawn = ("loss", "everyday_f1", "hard_f1", "everyday_precision", "hard_precision")

    size: int
    stage: Stage
    loss: float
    everyday_f1: float
    everyday_precision: float
    hard_f1: float
    hard_precision: float

    @property
    def score(self) -> float:
        return self.everyday_f1 + self.hard_f1 + self.everyday_precision + self.hard_precision

    def summary(self) -> str:
        return (
            f"{self.stage} at {self.size} px, loss {self.loss:.4f}  validation F1 everyday {self.everyday_f1:.4f}, "
            f"hard {self.hard_f1:.4f}  average precision {self.everyday_precision:.4f}, {self.hard_precision:.4f}"
        )


class EmbedderFit(Loop[EmbedderEpoch, list[Shot], tuple[Tensor, list[Shot]]]):
    """One training of `network` on the train photos. After `run()` the network holds the best epoch's weights."""

    result_type = EmbedderEpoch
    network: Embedder
    settings: EmbedderSettings

    def __init__(
        self,
        network: Embedder,
        photos: Photos,
        validation: PairSets,
        rule: InputConfig,
        settings: EmbedderSettings,
        *,
        compute: Compute,
        watcher: Watcher,
        folder: Path | None = None,
    ) -> None:
        super().__init__(network, settings, compute, watcher, folder, settings.ema_decay)
        self.photos, self.validation, self.rule, self.groups = photos, validation, rule, photos.groups
        learning = network.freeze(settings.frozen_stages)
        head = {id(weight) for weight in network.head.parameters()}
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [w for w in learning if id(w) not in head], "lr": settings.learning_rate},
                {"params": list(network.head.parameters()), "lr": settings.head_learning_rate},
            ],
            weight_decay=settings.weight_decay,
        )
        self.loss = EmbeddingLoss(
            network.spec.dimension,
            memory=settings.memory,
            temperature=settings.temperature,
            entropy=settings.entropy,
            margin=settings.margin,
        )
        self.neighbours: NDArray[np.int64] | None = None  # of the current epoch

    def rule_of(self, epoch: int) -> InputConfig:
        small = epoch < self.settings.small_epochs
        side = {"height": self.settings.small_size, "width": self.settings.small_size}
        return self.rule.model_copy(update=side) if small else self.rule

    def stage_of(self, epoch: int) -> Stage:
        return "triplet" if epoch >= self.settings.epochs - self.settings.triplet_epochs else "contrast"

    def plan(self, epoch: int) -> list[list[Shot]]:
        if self.neighbours is None:
            self.neighbours = self._index(epoch)
        seed = (self.settings.seed, epoch)
        return plan_epoch(self._starts(), self.groups, self.neighbours, self.settings.hard_negative_pairs, seed)

    def batches(self, epoch: int, plan: Sequence[list[Shot]]) -> Iterable[tuple[Tensor, list[Shot]]]:
        self.network.eval()  # batch norms keep the pretrained statistics: small batches of similar photos have none
        images = shot_batches(
            self.photos,
            [shot for batch in plan for shot in batch],
            self.rule_of(epoch),
            batch_size=self.settings.hard_negative_pairs * 2 * VIEWS,
            workers=self.compute.workers,
        )
        return zip(images, plan, strict=True)

    def step(self, batch: tuple[Tensor, list[Shot]], epoch: int, step: int) -> Mapping[str, float]:
        images, shots = batch
        groups = torch.from_numpy(self.groups[[shot.photo for shot in shots]])
        with self.compute.precision():
            embeddings = self.network(to_pixels(images, self.compute.device))
        loss = self.loss(self.stage_of(epoch), embeddings.float(), groups.to(self.compute.device))
        self.descend(loss)
        return {"loss": loss.item(), "steps": 1, "seen": len(shots)}

    def means(self) -> Mapping[str, float]:
        return {"loss": self.sums["loss"] / max(self.sums["steps"], 1)}

    def _starts(self) -> list[int]:
        """The train photos, those of small sources several times: as often as fits into the largest."""
        numbers = self.photos.numbers("train")
        counts = np.bincount([self.photos.photos[number].source for number in numbers])
        often = [min(self.settings.repeats, int(counts.max() // max(count, 1))) for count in counts]
        return [number for number in numbers for _ in range(often[self.photos.photos[number].source])]

    def _index(self, epoch: int) -> NDArray[np.int64]:
        """(N, k): each train photo's nearest others by the present weights; −1 elsewhere."""
        numbers = self.photos.numbers("train")
        self.watcher.note(f"epoch {epoch + 1}: index of {len(numbers):,} photos, to find hard negatives")
        embeddings = self.embed([Shot(number) for number in numbers], self.rule_of(epoch), self.network)
        # At first they are those of the untrained network, which calls many different photos nearly equal.
        places = nearest(embeddings, self.groups[numbers], self.settings.neighbours, GUARD if epoch else 1.0)
        table = np.full((len(self.photos), self.settings.neighbours), -1, np.int64)
        table[numbers] = np.where(places >= 0, np.asarray(numbers)[places], -1)
        return table

    def embed(self, shots: Sequence[Shot], rule: InputConfig, network: nn.Module) -> NDArray[np.float32]:
        """Embeddings (n, D) of the shots."""
        return outputs_for(network, network, self.photos, shots, rule, self.compute)

    def validate(self, epoch: int) -> EmbedderEpoch:
        self.neighbours = None  # those of the next epoch are by its weights
        rule = self.rule_of(epoch)

        def similarities(pairs: Sequence[Pair]) -> NDArray[np.float64]:
            return similarities_of(pairs, self.embed(uploads_of(pairs), rule, self.candidate))

        return EmbedderEpoch(
            epoch=epoch,
            seconds=self.sums["seconds"],
            best=False,
            size=rule.height,
            stage=self.stage_of(epoch),
            loss=self.means()["loss"],
            **validation_figures(self.validation, similarities),
        )

    def is_best(self, result: EmbedderEpoch) -> bool:
        # Weights that were made for a smaller input are no candidates beside those made for the real one.
        rivals = [earlier for earlier in self.results() if earlier.size == result.size]
        return all(result.score > rival.score for rival in rivals)

    def extra_state(self) -> dict[str, Any]:
        neighbours = None if self.neighbours is None else torch.from_numpy(self.neighbours)
        return {"loss": self.loss.state(), "neighbours": neighbours}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self.loss.load(state["loss"])
        self.neighbours = None if state["neighbours"] is None else state["neighbours"].cpu().numpy()
