"""What an embedder's training shows while it runs: lines on stderr, TensorBoard logs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from training.classifier.progress import LINE_SECONDS, duration
from training.embedder.fit import EmbedderEpoch


class EmbedderProgress:
    """Prints loss, images/s and the remaining time; later epochs may be slower, since their input is larger."""

    def __init__(self, epochs: int, folder: Path | None) -> None:
        self.epochs = epochs
        self.writer = SummaryWriter(folder / "tensorboard") if folder else None
        self.began = self.printed = time.monotonic()
        self.first = 0  # images of the epoch when the clock was started
        self.images = 0

    def told(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def step(self, *, epoch: int, step: int, steps: int, loss: float, images: int) -> None:
        now = time.monotonic()
        if images <= self.images or self.images == 0:
            self.began, self.first = now, images
        self.images = images
        if now - self.printed < LINE_SECONDS and step < steps:
            return
        self.printed = now
        rate = (images - self.first) / max(now - self.began, 1e-9)
        left = (steps - step) * (images / step) / rate if rate else 0.0
        self.told(
            f"epoch {epoch + 1}/{self.epochs}  {step}/{steps}  loss {loss:.4f}  {rate:.0f} images/s  "
            f"about {duration(left)} left of this epoch"
        )

    def epoch(self, result: EmbedderEpoch) -> None:
        self.told(
            f"epoch {result.epoch + 1}/{self.epochs} ({result.stage}, {result.size} px) done in "
            f"{duration(result.seconds)}: loss {result.loss:.4f}  validation F1 everyday {result.everyday_f1:.4f}, "
            f"hard {result.hard_f1:.4f}  average precision {result.everyday_precision:.4f}, "
            f"{result.hard_precision:.4f}{'  (best)' if result.best else ''}"
        )
        if self.writer:
            for name in ("loss", "everyday_f1", "hard_f1", "everyday_precision", "hard_precision"):
                self.writer.add_scalar(name, getattr(result, name), result.epoch)
            self.writer.flush()

    def close(self) -> None:
        if self.writer:
            self.writer.close()
