"""Pictures of what a classifier's training erases, beside the lines and logs of every training."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from training.classifier.fit import ErasingWatcher
from training.loop.progress import TrainingProgress

SHOWN = 8  # images in the picture of an epoch


class ClassifierProgress(TrainingProgress, ErasingWatcher):
    """Keeps, if something is erased, a picture of each epoch's first batch: above as loaded, below as trained on."""

    def erased(self, epoch: int, before: Tensor, after: Tensor) -> None:
        if self.folder is None or before is after:
            return
        rows = [_strip(pixels) for pixels in (before, after)]
        Image.fromarray(np.concatenate(rows)).save(self.folder / f"erased_{epoch + 1:03}.png")


def _strip(pixels: Tensor) -> np.ndarray:
    """The first images of (N, C, H, W) in [0, 1], side by side as uint8 (H, SHOWN·W, 3)."""
    shown = pixels[:SHOWN].detach().float().clamp(0, 1).cpu().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    return np.concatenate((shown.numpy() * 255).round().astype(np.uint8), axis=1)
