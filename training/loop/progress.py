"""What a training shows while it runs: lines on stderr and TensorBoard logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from phototriage.common.progress import duration
from training.loop.loop import EpochResult, Watcher

LINE_SECONDS = 10.0


class TrainingProgress(Watcher):
    """A line an epoch, and one every LINE_SECONDS, with images/s and the remaining time: of the whole training or,
    where later epochs are larger, of this epoch."""

    def __init__(self, epochs: int, folder: Path | None = None, title: str = "", *, epochs_alike: bool = True) -> None:
        self.epochs, self.folder, self.title, self.epochs_alike = epochs, folder, title, epochs_alike
        self.writer = SummaryWriter(folder / "tensorboard") if folder else None
        self.began = self.printed = time.monotonic()
        self.shown = -1  # the epoch that the clock was started for, when it had seen `first` images
        self.first = self.images = 0

    def note(self, text: str) -> None:
        print(f"{self.title}{text}", file=sys.stderr, flush=True)

    def step(self, *, epoch: int, step: int, steps: int, images: int, figures: Mapping[str, float]) -> None:
        now = time.monotonic()
        self.images = images
        if epoch != self.shown:  # a new epoch, or the rest of one that was interrupted
            self.shown, self.began, self.first = epoch, now, images
        if now - self.printed < LINE_SECONDS or images == self.first:
            return
        self.printed = now
        rate = (images - self.first) / max(now - self.began, 1e-9)
        to_do = ((self.epochs - epoch) * steps if self.epochs_alike else steps) - step
        means = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        left = duration(to_do * images / step / rate)
        self.note(
            f"epoch {epoch + 1}/{self.epochs}  {step}/{steps}  {means}  {rate:.0f} images/s  about {left} left"
            f"{'' if self.epochs_alike else ' of this epoch'}"
        )

    def epoch(self, result: EpochResult) -> None:
        rate, best = self.images / max(result.seconds, 1e-9), "  (best)" if result.best else ""
        self.note(
            f"epoch {result.epoch + 1}/{self.epochs} done in {duration(result.seconds)}, {rate:.0f} images/s: "
            f"{result.summary()}{best}"
        )
        if self.writer:
            for name, value in result.curves().items():
                self.writer.add_scalar(name, value, result.epoch)
            self.writer.flush()

    def close(self) -> None:
        if self.writer:
            self.writer.close()
