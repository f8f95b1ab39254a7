"""What an autoencoder's training shows and keeps: lines on stderr, TensorBoard logs, reconstructions, examples."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.tensorboard.writer import SummaryWriter

from training.autoencoder.examples import path_of, write_examples
from training.autoencoder.fit import AutoencoderEpoch, Examples
from training.classifier.progress import LINE_SECONDS, duration
from training.data.batches import to_pixels
from training.data.dataset import Dataset
from training.featout.featout import evaluation_mode
from training.networks.autoencoder import Autoencoder

SHOWN = 10  # images in the picture of an epoch
ENLARGED = 2


class AutoencoderProgress:
    """Prints loss, images/s and the remaining time; leaves a picture of reconstructions and a table of all images for
    each epoch."""

    def __init__(
        self,
        epochs: int,
        folder: Path,
        network: Autoencoder,
        data: Dataset,
        images: NDArray[np.uint8],
        kept: Sequence[int],
    ) -> None:
        """images uint8 (N, H, W, C) of all records; kept: the records whose rows go into the tables."""
        self.epochs, self.folder, self.network = epochs, folder, network
        self.data, self.images, self.kept = data, images, kept
        self.writer = SummaryWriter(folder / "tensorboard")
        self.began = self.printed = time.monotonic()
        self.first = self.seen = self.epoch_shown = 0
        shown = [row for row in kept if data.records[row].split == "val"] or list(kept)
        # From all of the set, since its order is often that of the classes.
        self.shown = [shown[place] for place in np.linspace(0, len(shown) - 1, min(SHOWN, len(shown))).astype(int)]

    def step(self, *, epoch: int, step: int, steps: int, loss: float, images: int) -> None:
        now = time.monotonic()
        if epoch != self.epoch_shown or self.seen == 0:
            self.epoch_shown, self.began, self.first = epoch, now, images
        self.seen = images
        if now - self.printed < LINE_SECONDS or images == self.first:
            return
        self.printed = now
        rate = (images - self.first) / max(now - self.began, 1e-9)
        left = ((self.epochs - epoch) * steps - step) * (images / step) / max(rate, 1e-9)
        print(
            f"epoch {epoch + 1}/{self.epochs}  {step}/{steps}  L1 {loss:.4f}  {rate:.0f} images/s  about "
            f"{duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    def epoch(self, result: AutoencoderEpoch, examples: Examples) -> None:
        accuracy = f"  accuracy {result.val_accuracy:.4f}" if result.val_accuracy is not None else ""
        print(
            f"epoch {result.epoch + 1}/{self.epochs} done in {duration(result.seconds)}: L1 {result.train_l1:.4f}  "
            f"validation L1 {result.val_l1:.4f}  SSIM {result.val_ssim:.4f}"
            f"{accuracy}{'  (best)' if result.best else ''}",
            file=sys.stderr,
            flush=True,
        )
        for name in ("train_l1", "val_l1", "val_ssim", "val_accuracy"):
            if (value := getattr(result, name)) is not None:
                self.writer.add_scalar(name, value, result.epoch)
        self.writer.flush()
        write_examples(path_of(self.folder, result.epoch), self.data, self.kept, examples)
        path = self.folder / f"reconstructions_{result.epoch + 1:03}.png"
        part = path.with_name(path.name + ".part")
        self._picture().save(part, format="PNG")
        part.replace(path)

    def _picture(self) -> Image.Image:
        """Some images, and below them what the network makes of them."""
        images = self.images[self.shown]
        device = next(self.network.parameters()).device
        pixels = to_pixels(torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C")), device)
        with evaluation_mode(self.network), torch.inference_mode():
            made = self.network(pixels).pixels.float().cpu().numpy()
        rows = [images, (made.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)]
        strips = [np.concatenate(list(row), axis=1) for row in rows]
        sheet = np.concatenate(strips).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        return Image.fromarray(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet)

    def close(self) -> None:
        self.writer.close()
