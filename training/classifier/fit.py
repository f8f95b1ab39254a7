"""The training loop of a classifier: erasing, progress, validation, checkpoints that resume exactly.

All randomness is drawn from (random seed, epoch, step), so a run that was stopped and started again from its
checkpoint takes the very steps that an undisturbed one takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from phototriage.images.input_config import InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from training.data.augmentation import Augmentation, random_erasing
from training.data.batches import batches, epoch_order, to_pixels
from training.data.dataset import Dataset
from training.featout.featout import FeatOut, patches_at
from training.loop.evaluation import accuracy, cross_entropy, precision_context, predict
from training.loop.run import write_atomically
from training.networks.classifier import Classifier, norms
from training.networks.depthwise import accelerate

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
CHECKPOINT_SECONDS = 120


class FitSettings(BaseModel):
    """What decides a training, beside the data and the starting weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    average: float = Field(default=0.99, ge=0, lt=1)  # decay per step of the weights' moving average
    frozen_stages: int = Field(default=0, ge=0)
    frozen_norms: bool = False  # keep the pretrained statistics; sensible for small batches and small sets
    erasing: Literal["none", "random", "featout"] = "none"
    featout: FeatOutConfig | None = None
    erasing_probability: float = Field(default=0.4, ge=0, le=1)
    augmentation: bool = True
    bf16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to, as printed, logged and used to choose the best."""

    epoch: int
    loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    best: bool


class Watcher(Protocol):
    """Whoever shows the progress."""

    def step(self, *, epoch: int, step: int, steps: int, loss: float, accuracy: float, images: int) -> None: ...

    def epoch(self, result: Epoch) -> None: ...

    def erased(self, epoch: int, before: Tensor, after: Tensor) -> None: ...


@dataclass
class _State:
    """All that a checkpoint holds."""

    network: Classifier
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "right": 0.0, "seen": 0.0, "seconds": 0.0})
    history: list[dict[str, Any]] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": dict(self.sums),
            "history": list(self.history),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.sums, self.history = state["sums"], state["history"]


class Fit:
    """One training of `network` on the records `train`, choosing its best epoch on `val`, or the last if that is empty.

    `folder`, if given, receives best.pt and checkpoint.pt, and a training that finds its checkpoint there goes on
    from it. After `run()` the network holds the best epoch's averaged weights.
    """

    def __init__(
        self,
        network: Classifier,
        data: Dataset,
        train: Sequence[int],
        val: Sequence[int],
        rule: InputConfig,
        settings: FitSettings,
        *,
        device: torch.device,
        workers: int,
        watcher: Watcher,
        folder: Path | None = None,
    ) -> None:
        self.data, self.train, self.val = data, train, val
        self.rule, self.settings = rule, settings
        self.device, self.workers, self.watcher, self.folder = device, workers, watcher, folder
        network.to(device).to(memory_format=torch.channels_last)
        for stage in network.stages()[: settings.frozen_stages]:
            stage.requires_grad_(False)
        weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(
            [
                {"params": [w for w in weights if w.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=settings.rate,
        )
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
        accelerate(network)
        self.state = _State(network, average, optimiser)
        self.featout = FeatOut(settings.featout, settings.erasing_probability) if settings.featout else None
        self.best: dict[str, Tensor] | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self.train) / self.settings.batch_size)

    def run(self, *, stop: Callable[[int, int], bool] = lambda epoch, step: False) -> list[Epoch]:
        """Train to the end, or until `stop(epoch, step)` says so after a checkpoint. Returns the epochs."""
        self._resume()
        while self.state.epoch < self.settings.epochs:
            if not self._epoch(stop):
                break
        if self.best is not None:
            self.state.network.load_state_dict(self.best)
        return [Epoch(**one) for one in self.state.history]

    def _resume(self) -> None:
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return
        self.state.load(torch.load(self.folder / CHECKPOINT, map_location=self.device, weights_only=True))
        if (self.folder / BEST).exists():
            self.best = torch.load(self.folder / BEST, map_location=self.device, weights_only=True)

    def _save(self) -> None:
        if self.folder is not None:
            write_atomically(self.folder / CHECKPOINT, self.state.dump())

    def _modes(self) -> None:
        """Train mode, except what is frozen."""
        self.state.network.train()
        for stage in self.state.network.stages()[: self.settings.frozen_stages]:
            stage.eval()
        if self.settings.frozen_norms:
            for norm in norms(self.state.network):
                norm.eval()

    def _epoch(self, stop: Callable[[int, int], bool]) -> bool:
        """The rest of the current epoch; False if it was stopped."""
        state, settings = self.state, self.settings
        order = epoch_order(self.train, settings.seed, state.epoch)[state.step * settings.batch_size :]
        augmentation = Augmentation() if settings.augmentation else None
        self._modes()
        saved = began = time.monotonic()
        for images, labels in batches(
            self.data,
            order,
            self.rule,
            batch_size=settings.batch_size,
            workers=self.workers,
            augmentation=augmentation,
            seed=(settings.seed, state.epoch),
        ):
            self._step(images, labels.to(self.device), augmentation)
            state.step += 1
            now = time.monotonic()
            state.sums["seconds"] += now - began
            began = now
            self._tell()
            if now - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = now
            if stop(state.epoch, state.step):
                self._save()
                return False
        self._finish_epoch()
        return True

    def _step(self, images: Tensor, labels: Tensor, augmentation: Augmentation | None) -> None:
        state, settings = self.state, self.settings
        seed = hash((settings.seed, state.epoch, state.step)) % 2**31  # integers hash alike in every process
        torch.manual_seed(seed)  # for dropout
        generator = torch.Generator().manual_seed(seed)
        pixels = to_pixels(images, self.device)
        if augmentation is not None:
            pixels = augmentation.tones(pixels, generator)
        with precision_context(self.device, settings.bf16):
            erased = self._erase(pixels, labels, generator)
            logits = state.network(erased)
        if state.step == 0:
            self.watcher.erased(state.epoch, pixels, erased)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        for group in state.optimiser.param_groups:
            group["lr"] = self._rate()
        state.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
        state.optimiser.step()
        state.average.update_parameters(state.network)
        state.sums["loss"] += loss.item() * len(labels)
        state.sums["right"] += (logits.argmax(1) == labels).sum().item()
        state.sums["seen"] += len(labels)

    def _erase(self, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        settings = self.settings
        if settings.erasing == "random":
            return random_erasing(pixels, generator, settings.erasing_probability)
        if settings.erasing == "featout":
            assert self.featout is not None
            patches = patches_at(self.state.epoch, settings.epochs, self.featout.rule)
            return self.featout(self.state.network, pixels, labels, patches, generator)
        return pixels

    def _rate(self) -> float:
        """Linear warm-up over the first twentieth, then half a cosine to zero."""
        done = (self.state.epoch * self.steps + self.state.step) / (self.settings.epochs * self.steps)
        warm = min(1.0, (done * 20) + 1 / self.steps)
        return self.settings.rate * warm * 0.5 * (1 + math.cos(math.pi * done))

    def _tell(self) -> None:
        sums = self.state.sums
        self.watcher.step(
            epoch=self.state.epoch,
            step=self.state.step,
            steps=self.steps,
            loss=sums["loss"] / sums["seen"],
            accuracy=sums["right"] / sums["seen"],
            images=int(sums["seen"]),
        )

    def _finish_epoch(self) -> None:
        """Validate the averaged weights, keep them if they are the best, write both files, move on."""
        state, sums = self.state, self.state.sums
        candidate: nn.Module = state.average.module
        score = self._validate(candidate)
        best = not self.val or all(
            score > (one["val_accuracy"], -one["val_loss"]) for one in state.history if one["best"]
        )
        result = Epoch(
            epoch=state.epoch,
            loss=sums["loss"] / sums["seen"],
            train_accuracy=sums["right"] / sums["seen"],
            val_loss=-score[1],
            val_accuracy=score[0],
            seconds=sums["seconds"],
            best=best,
        )
        if best:
            self.best = {name: value.detach().cpu().clone() for name, value in candidate.state_dict().items()}
            if self.folder is not None:
                write_atomically(self.folder / BEST, self.best)
        state.history.append(asdict(result))
        state.epoch, state.step = state.epoch + 1, 0
        state.sums = dict.fromkeys(sums, 0.0)
        self._save()
        self.watcher.epoch(result)

    def _validate(self, candidate: nn.Module) -> tuple[float, float]:
        """Accuracy and negative cross-entropy on `val`; zeros if that is empty."""
        if not self.val:
            return 0.0, 0.0
        logits = predict(
            candidate,
            self.data,
            self.val,
            self.rule,
            device=self.device,
            workers=self.workers,
            bf16=self.settings.bf16,
        )
        labels = self.data.targets[list(self.val)]
        return accuracy(logits, labels), -cross_entropy(logits, labels)
