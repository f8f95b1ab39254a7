"""The training loop of an embedder: look-alikes from an index that is made anew each epoch, two losses in turn,
validation on labelled pairs, checkpoints that resume.

Every draw depends on (random seed, epoch, step) alone, so a run that was stopped takes the same batches as one that
was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from phototriage import duplicates
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.images.input_config import InputConfig
from training.data.batches import to_pixels
from training.data.photos import Photos
from training.embedder.losses import EmbeddingLoss, Stage
from training.embedder.views import GUARD, VIEWS, answers_for, nearest, plan_epoch, shot_batches
from training.loop.evaluation import precision_context
from training.loop.run import write_atomically
from training.networks.depthwise import accelerate
from training.networks.embedder import Embedder, freeze
from training.pairs.labelled_pairs import Pair, PairSets, Shot
from training.pairs.metrics import average_precision, best_f1

CHECKPOINT, BEST = "checkpoint.pt", "best.pt"
CHECKPOINT_SECONDS = 120


class EmbedderSettings(BaseModel):
    """What decides a training, beside the photos and the starting weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=5, ge=1)
    small_epochs: int = Field(default=4, ge=0)  # the first ones, at small_size
    small_size: int = Field(default=160, ge=32)
    triplet_epochs: int = Field(default=1, ge=0)  # the last ones
    couples: int = Field(default=12, ge=1)  # of look-alikes in a batch, each photo in VIEWS views
    rate: float = Field(default=4e-4, gt=0)
    head_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    average: float = Field(default=0.995, ge=0, lt=1)
    frozen_stages: int = Field(default=4, ge=0)
    memory: int = Field(default=4096, ge=1)
    temperature: float = Field(default=0.05, gt=0)
    entropy: float = Field(default=3.0, ge=0)
    margin: float = Field(default=0.3, gt=0)
    neighbours: int = Field(default=20, ge=1)
    repeats: int = Field(default=3, ge=1)  # how often, at most, a small source's photos come in an epoch
    bf16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class EmbedderEpoch:
    """What an epoch came to. f1 and average precision are of the validation pairs."""

    epoch: int
    size: int
    stage: Stage
    loss: float
    seconds: float
    everyday_f1: float
    everyday_precision: float
    hard_f1: float
    hard_precision: float
    best: bool

    @property
    def score(self) -> float:
        return self.everyday_f1 + self.hard_f1 + self.everyday_precision + self.hard_precision


class Watcher(Protocol):
    def told(self, text: str) -> None: ...

    def step(self, *, epoch: int, step: int, steps: int, loss: float, images: int) -> None: ...

    def epoch(self, result: EmbedderEpoch) -> None: ...


class EmbedderFit:
    """One training of `network` on the train photos. After `run()` the network holds the best epoch's weights."""

    def __init__(
        self,
        network: Embedder,
        photos: Photos,
        validation: PairSets,
        rule: InputConfig,
        settings: EmbedderSettings,
        *,
        device: torch.device,
        workers: int,
        watcher: Watcher,
        folder: Path | None = None,
    ) -> None:
        self.network, self.photos, self.validation = network, photos, validation
        self.rule, self.settings = rule, settings
        self.device, self.workers, self.watcher, self.folder = device, workers, watcher, folder
        self.groups = photos.groups
        network.to(device).to(memory_format=torch.channels_last)
        learning = freeze(network, settings.frozen_stages)
        head = {id(weight) for weight in network.head.parameters()}
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [w for w in learning if id(w) not in head], "lr": settings.rate, "rate": settings.rate},
                {"params": list(network.head.parameters()), "lr": settings.head_rate, "rate": settings.head_rate},
            ],
            weight_decay=settings.weight_decay,
        )
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
        accelerate(network)
        self.loss = EmbeddingLoss(
            network.spec.dimension,
            memory=settings.memory,
            temperature=settings.temperature,
            entropy=settings.entropy,
            margin=settings.margin,
        )
        self.position = (0, 0)  # epoch and step to do next
        self.sums = {"loss": 0.0, "steps": 0.0, "seconds": 0.0}
        self.neighbours: NDArray[np.int64] | None = None
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None

    def run(self, *, stop: Callable[[int, int], bool] = lambda epoch, step: False) -> list[EmbedderEpoch]:
        """Train to the end, or until `stop(epoch, step)` says so after a checkpoint. Returns the epochs."""
        self._resume()
        while self.position[0] < self.settings.epochs:
            if not self._epoch(stop):
                break
        if self.best is not None:
            self.network.load_state_dict(self.best)
        return [EmbedderEpoch(**one) for one in self.history]

    def rule_of(self, epoch: int) -> InputConfig:
        small = epoch < self.settings.small_epochs
        side = {"height": self.settings.small_size, "width": self.settings.small_size}
        return self.rule.model_copy(update=side) if small else self.rule

    def stage_of(self, epoch: int) -> Stage:
        return "triplet" if epoch >= self.settings.epochs - self.settings.triplet_epochs else "contrast"

    def _epoch(self, stop: Callable[[int, int], bool]) -> bool:
        """The rest of the current epoch; False if it was stopped."""
        epoch, first = self.position
        if self.neighbours is None:
            self.neighbours = self._index(epoch)
        plan = plan_epoch(
            self._starts(), self.groups, self.neighbours, self.settings.couples, (self.settings.seed, epoch)
        )
        shots = [shot for batch in plan[first:] for shot in batch]
        size = self.settings.couples * 2 * VIEWS
        self.network.eval()  # batch norms keep the pretrained statistics: small batches of look-alikes have none
        saved = began = time.monotonic()
        batches = shot_batches(self.photos, shots, self.rule_of(epoch), batch_size=size, workers=self.workers)
        for step, (images, batch) in enumerate(zip(batches, plan[first:], strict=True), start=first):
            groups = torch.from_numpy(self.groups[[shot.photo for shot in batch]])
            self._step(images, groups, epoch, (epoch + step / len(plan)) / self.settings.epochs)
            self.position = (epoch, step + 1)
            now = time.monotonic()
            self.sums["seconds"] += now - began
            began = now
            loss = self.sums["loss"] / self.sums["steps"]
            self.watcher.step(epoch=epoch, step=step + 1, steps=len(plan), loss=loss, images=(step + 1) * size)
            if now - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = now
            if stop(epoch, step + 1):
                self._save()
                return False
        self._finish_epoch(epoch)
        return True

    def _step(self, images: Tensor, groups: Tensor, epoch: int, done: float) -> None:
        with precision_context(self.device, self.settings.bf16):
            embeddings = self.network(to_pixels(images, self.device))
        loss = self.loss(self.stage_of(epoch), embeddings.float(), groups.to(self.device))
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * min(1.0, done * 40 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.sums["loss"] += loss.item()
        self.sums["steps"] += 1

    def _starts(self) -> list[int]:
        """The train photos, those of small sources several times: as often as fits into the largest."""
        numbers = self.photos.numbers("train")
        counts = np.bincount([self.photos.photos[number].source for number in numbers])
        often = [min(self.settings.repeats, int(counts.max() // max(count, 1))) for count in counts]
        return [number for number in numbers for _ in range(often[self.photos.photos[number].source])]

    def _index(self, epoch: int) -> NDArray[np.int64]:
        """(N, k): each train photo's nearest others by the present weights; −1 elsewhere."""
        numbers = self.photos.numbers("train")
        self.watcher.told(f"epoch {epoch + 1}: index of {len(numbers):,} photos, to find their look-alikes")
        embeddings = self.embed([Shot(number) for number in numbers], self.rule_of(epoch), self.network)
        # At first look-alikes are those of the untrained network, which calls many different photos nearly equal.
        places = nearest(embeddings, self.groups[numbers], self.settings.neighbours, GUARD if epoch else 1.0)
        table = np.full((len(self.photos), self.settings.neighbours), -1, np.int64)
        table[numbers] = np.where(places >= 0, np.asarray(numbers)[places], -1)
        return table

    def embed(self, shots: Sequence[Shot], rule: InputConfig, network: nn.Module) -> NDArray[np.float32]:
        """Embeddings (n, D) of the shots."""
        return answers_for(
            network,
            network,
            self.photos,
            shots,
            rule,
            device=self.device,
            workers=self.workers,
            bf16=self.settings.bf16,
        )

    def _finish_epoch(self, epoch: int) -> None:
        """Validate the averaged weights, keep them if they are the best, write both files, move on."""
        candidate = self.average.module
        rule = self.rule_of(epoch)
        everyday, hard = (self._validate(candidate, pairs, rule) for pairs in self.validation)
        result = EmbedderEpoch(
            epoch=epoch,
            size=rule.height,
            stage=self.stage_of(epoch),
            loss=self.sums["loss"] / max(self.sums["steps"], 1),
            seconds=self.sums["seconds"],
            everyday_f1=everyday[0],
            everyday_precision=everyday[1],
            hard_f1=hard[0],
            hard_precision=hard[1],
            best=False,
        )
        # Weights that were made for a smaller input are no candidates beside those made for the real one.
        rivals = [EmbedderEpoch(**one) for one in self.history if one["size"] == rule.height]
        result = EmbedderEpoch(**(asdict(result) | {"best": all(result.score > one.score for one in rivals)}))
        if result.best:
            self.best = {name: value.detach().cpu().clone() for name, value in candidate.state_dict().items()}
            if self.folder is not None:
                write_atomically(self.folder / BEST, self.best)
        self.history.append(asdict(result))
        self.position, self.neighbours = (epoch + 1, 0), None
        self.sums = dict.fromkeys(self.sums, 0.0)
        self._save()
        self.watcher.epoch(result)

    def _validate(self, network: nn.Module, pairs: Sequence[Pair], rule: InputConfig) -> tuple[float, float]:
        """Best F1 and average precision."""
        similarities = similarities_of(pairs, lambda shots: self.embed(shots, rule, network))
        same = np.array([pair.same for pair in pairs])
        return best_f1(similarities, same), average_precision(similarities, same)

    def _save(self) -> None:
        if self.folder is None:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss": self.loss.state(),
            "position": self.position,
            "sums": dict(self.sums),
            "neighbours": None if self.neighbours is None else torch.from_numpy(self.neighbours),
            "history": list(self.history),
        }
        write_atomically(self.folder / CHECKPOINT, state)

    def _resume(self) -> None:
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return
        state = torch.load(self.folder / CHECKPOINT, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss.load(state["loss"])
        self.position, self.sums, self.history = state["position"], state["sums"], state["history"]
        self.neighbours = None if state["neighbours"] is None else state["neighbours"].cpu().numpy()
        if (self.folder / BEST).exists():
            self.best = torch.load(self.folder / BEST, map_location="cpu", weights_only=True)


def similarities_of(
    pairs: Sequence[Pair],
    embed: Callable[[Sequence[Shot]], NDArray[np.float32]],
    rescoring: LayoutRescoring | None = None,
) -> NDArray[np.float64]:
    """Similarity (n,) of each pair; each distinct shot is embedded once, with its layout if there is re-scoring."""
    places: dict[Shot, int] = {}
    for pair in pairs:
        for shot in (pair.left, pair.right):
            places.setdefault(shot, len(places))
    embeddings = embed(list(places))
    left, right = (
        np.array([places[shot] for shot in side]) for side in zip(*((p.left, p.right) for p in pairs), strict=True)
    )
    return duplicates.similarities(embeddings[left], embeddings[right], rescoring)
