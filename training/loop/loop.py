"""The loop that all trainings share: epochs and steps, the best epoch, checkpoints that resume exactly.

A training of its own kind derives from `Loop` and says what its batches are, what a step does and what an epoch came
to. All its draws depend on (random seed, epoch, step) alone, and a checkpoint holds all else: a training that was
stopped and started again takes the very steps that an undisturbed one takes.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.loop.compute import Compute
from training.loop.run_folder import BEST, write_atomically
from training.networks.depthwise import accelerate

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 120


class LoopSettings(BaseModel):
    """What the settings of every training have: they decide, with data and starting weights, what comes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1)
    bf16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """Of the learning rate: linear warm-up over the first of `warm_up_parts` equal parts of a training, then half a
    cosine to zero. The very first step takes the share `start` of the highest rate; None: one step's share of an
    epoch."""

    warm_up_parts: int = 40
    start: float | None = 0.02

    def learning_rate(self, highest: float, epoch: int, step: int, steps: int, epochs: int) -> float:
        """Of a step, counted from 0, of an epoch of `steps`."""
        done = (epoch * steps + step) / (epochs * steps)
        start = 1 / steps if self.start is None else self.start
        return highest * min(1.0, done * self.warm_up_parts + start) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class EpochResult(ABC):
    """What an epoch came to, as it is printed, logged and used to choose the best."""

    epoch: int
    seconds: float
    best: bool
    drawn: ClassVar[tuple[str, ...]]

    @abstractmethod
    def summary(self) -> str:
        """Its figures in a line."""

    def curves(self) -> dict[str, float]:
        """Its figures to be drawn over the epochs."""
        return {name: value for name in self.drawn if (value := getattr(self, name)) is not None}


class Watcher:
    """Whoever shows the progress, or nobody."""

    def step(self, *, epoch: int, step: int, steps: int, images: int, figures: Mapping[str, float]) -> None:
        """`step` of `steps` are done; the epoch has seen so many images; means over them."""

    def epoch(self, result: EpochResult) -> None:
        """An epoch is done, and saved."""

    def note(self, text: str) -> None:
        """What goes on between steps."""

    def close(self) -> None:
        """The training is done, or stopped."""


Result = TypeVar("Result", bound=EpochResult)
Planned = TypeVar("Planned")
Batch = TypeVar("Batch")


class Loop(ABC, Generic[Result, Planned, Batch]):
    """One training of `network`. After `run()` the network holds the best epoch's weights.

    `folder`, if given, receives best.pt and checkpoint.pt, and a training that finds its checkpoint there goes on from
    it. `ema_decay`: per step, of the moving average of weights and buffers that is validated and kept; None: the
    weights themselves are. A derived class makes its `optimiser`, with the highest learning rates.
    """

    schedule = Schedule()
    clip_norm: float | None = 5.0
    result_type: type[Result]
    optimiser: torch.optim.Optimizer
    network: nn.Module
    settings: LoopSettings
    watcher: Watcher

    def __init__(
        self,
        network: nn.Module,
        settings: LoopSettings,
        compute: Compute,
        watcher: Watcher,
        folder: Path | None,
        ema_decay: float | None = None,
    ) -> None:
        # How steps are computed decides what comes out, so it is what the settings record.
        self.compute = replace(compute, bf16=settings.bf16)
        self.network, self.settings, self.watcher, self.folder = network, settings, watcher, folder
        network.to(compute.device).to(memory_format=torch.channels_last)
        self.average = None
        if ema_decay is not None:
            self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True)
        accelerate(network)  # after the copy, which is evaluated only
        self.position = (0, 0)  # epoch and step to do next
        self.sums = defaultdict[str, float](float)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None
        self._highest: list[float] | None = None  # learning rates, of the optimiser's groups

    @abstractmethod
    def plan(self, epoch: int) -> Sequence[Planned]:
        """What goes into each batch of an epoch."""

    @abstractmethod
    def batches(self, epoch: int, plan: Sequence[Planned]) -> Iterable[Batch]:
        """The batches of a plan, or of what is left of it; networks in the modes in which they learn."""

    @abstractmethod
    def step(self, batch: Batch, epoch: int, step: int) -> Mapping[str, float]:
        """Learn from a batch, by `descend`. What is summed over the epoch: "seen", its images, and anything else."""

    @abstractmethod
    def means(self) -> Mapping[str, float]:
        """Figures of the epoch up to now, from `sums`."""

    @abstractmethod
    def validate(self, epoch: int) -> Result:
        """What the epoch came to, by the weights `candidate`."""

    @abstractmethod
    def is_best(self, result: Result) -> bool:
        """Whether it surpasses all epochs in `history`."""

    def extra_state(self) -> dict[str, Any]:
        """What else a checkpoint holds."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `extra_state` gave."""

    @property
    def candidate(self) -> nn.Module:
        """The weights that are validated and kept."""
        return self.network if self.average is None else self.average.module

    def run(self, *, stop: Callable[[int, int], bool] = lambda epoch, step: False) -> list[Result]:
        """Train to the end, or until `stop(epoch, step)` says so after a checkpoint. Returns the epochs."""
        if self._highest is None:  # a second run goes on, with rates that the schedule has changed
            self._highest = [float(group["lr"]) for group in self.optimiser.param_groups]
        self._resume()
        while self.position[0] < self.settings.epochs:
            if not self._epoch(stop):
                break
        if self.best is not None:
            self.network.load_state_dict(self.best)
        self.watcher.close()
        return self.results()

    def results(self) -> list[Result]:
        """The epochs that are done."""
        return [self.result_type(**fields) for fields in self.history]

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser, and of the moving average."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def _epoch(self, stop: Callable[[int, int], bool]) -> bool:
        """The rest of the current epoch; False if it was stopped."""
        epoch, first = self.position
        plan = self.plan(epoch)
        saved = began = time.monotonic()
        for step, batch in enumerate(self.batches(epoch, plan[first:]), start=first):
            for group, highest in zip(self.optimiser.param_groups, self._highest or (), strict=True):
                group["lr"] = self.schedule.learning_rate(highest, epoch, step, len(plan), self.settings.epochs)
            for name, value in self.step(batch, epoch, step).items():
                self.sums[name] += value
            self.position = (epoch, step + 1)
            now = time.monotonic()
            self.sums["seconds"] += now - began
            began = now
            self.watcher.step(
                epoch=epoch, step=step + 1, steps=len(plan), images=int(self.sums["seen"]), figures=self.means()
            )
            if now - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = now
            if stop(epoch, step + 1):
                self._save()
                return False
        self._finish_epoch(epoch)
        return True

    def _finish_epoch(self, epoch: int) -> None:
        """Validate, keep the weights if they are the best, write the checkpoint, report: in this order.

        A training that is killed on the way repeats what comes before its checkpoint, to the same end: files of the
        epoch, which `validate` leaves, and best.pt are written again. What comes after it is not repeated, so that is
        only the report, whose loss leaves a gap in a log and no file missing.
        """
        result = self.validate(epoch)
        result = replace(result, best=self.is_best(result))
        if result.best:
            self.best = {name: value.detach().cpu().clone() for name, value in self.candidate.state_dict().items()}
            if self.folder is not None:
                write_atomically(self.folder / BEST, self.best)
        self.history.append(asdict(result))
        self.position = (epoch + 1, 0)
        self.sums.clear()
        self._save()
        self.watcher.epoch(result)

    def _save(self) -> None:
        if self.folder is None:
            return
        state = {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "position": self.position,
            "sums": dict(self.sums),
            "history": self.history,
        }
        write_atomically(self.folder / CHECKPOINT, state | self.extra_state())

    def _resume(self) -> None:
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return
        state = torch.load(self.folder / CHECKPOINT, map_location=self.compute.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        # Checkpoints of classifiers once had the position in two numbers.
        self.position = state["position"] if "position" in state else (state["epoch"], state["step"])
        self.history = state["history"]
        self.sums.update(state["sums"])
        self.load_extra_state(state)
        if (self.folder / BEST).exists():
            self.best = torch.load(self.folder / BEST, map_location="cpu", weights_only=True)
