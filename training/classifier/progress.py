"""What a training shows while it runs: lines on stderr, TensorBoard logs, pictures of what is erased."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from training.classifier.fit import Epoch

LINE_SECONDS = 10.0
SHOWN = 8  # images in the picture of an epoch


class Progress:
    """Prints loss, accuracy, images/s and the remaining time; writes TensorBoard logs and, if something is erased, a
    picture of each epoch's first batch (above as loaded, below as trained on)."""

    def __init__(self, epochs: int, folder: Path | None, title: str = "") -> None:
        self.epochs, self.folder, self.title = epochs, folder, title
        self.writer = SummaryWriter(folder / "tensorboard") if folder else None
        self.began = self.printed = time.monotonic()
        self.images = self.counted = 0

    def step(self, *, epoch: int, step: int, steps: int, loss: float, accuracy: float, images: int) -> None:
        now = time.monotonic()
        if self.images > images or self.images == 0:  # a new epoch, or a resumed one
            self.images = images
            self.began, self.counted = now, 0
            return
        self.counted += images - self.images
        self.images = images
        if now - self.printed < LINE_SECONDS and step < steps:
            return
        self.printed = now
        rate = self.counted / max(now - self.began, 1e-9)
        left = ((self.epochs - epoch) * steps - step) * (images / step) / max(rate, 1e-9)
        print(
            f"{self.title}epoch {epoch + 1}/{self.epochs}  {step}/{steps}  loss {loss:.4f}  accuracy {accuracy:.4f}  "
            f"{rate:.0f} images/s  about {duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    def epoch(self, result: Epoch) -> None:
        print(
            f"{self.title}epoch {result.epoch + 1}/{self.epochs} done in {duration(result.seconds)}: "
            f"loss {result.loss:.4f}  validation loss {result.val_loss:.4f}  accuracy {result.val_accuracy:.4f}"
            f"{'  (best)' if result.best else ''}",
            file=sys.stderr,
            flush=True,
        )
        if self.writer:
            for name in ("loss", "train_accuracy", "val_loss", "val_accuracy"):
                self.writer.add_scalar(name, getattr(result, name), result.epoch)
            self.writer.flush()

    def erased(self, epoch: int, before: Tensor, after: Tensor) -> None:
        if self.folder is None or before is after:
            return
        rows = [_strip(pixels) for pixels in (before, after)]
        Image.fromarray(np.concatenate(rows)).save(self.folder / f"erased_{epoch + 1:03}.png")

    def close(self) -> None:
        if self.writer:
            self.writer.close()


def _strip(pixels: Tensor) -> np.ndarray:
    """The first images of (N, C, H, W) in [0, 1], side by side as uint8 (H, SHOWN·W, 3)."""
    shown = pixels[:SHOWN].detach().float().clamp(0, 1).cpu().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    return np.concatenate((shown.numpy() * 255).round().astype(np.uint8), axis=1)


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes}:{rest:02} min"
