"""What an autoencoder's training keeps of each epoch: a picture of reconstructions, and a table of all images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.atomic_writes import atomic_file
from training.autoencoder.examples import path_of, write_examples
from training.autoencoder.fit import Examples, MeasuringWatcher
from training.data.batches import as_tensor, to_pixels
from training.data.dataset import Dataset
from training.featout.featout import evaluation_mode
from training.loop.progress import TrainingProgress
from training.networks.autoencoder import Autoencoder

SHOWN = 10  # images in the picture of an epoch
ENLARGED = 2


class AutoencoderProgress(TrainingProgress, MeasuringWatcher):
    """Leaves a picture of reconstructions and a table of all images for each epoch."""

    folder: Path

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
        super().__init__(epochs, folder)
        self.network, self.data, self.pixels, self.kept = network, data, images, kept
        candidates = [row for row in kept if data.records[row].split == "val"] or list(kept)
        # From all of the set, since its order is often that of the classes.
        places = np.linspace(0, len(candidates) - 1, min(SHOWN, len(candidates))).astype(int)
        self.pictured = [candidates[place] for place in places]

    def measured(self, epoch: int, examples: Examples) -> None:
        write_examples(path_of(self.folder, epoch), self.data, self.kept, examples)
        with atomic_file(self.folder / f"reconstructions_{epoch + 1:03}.png") as part:
            self._picture().save(part, format="PNG")

    def _picture(self) -> Image.Image:
        """Some images, and below them what the network makes of them."""
        images = self.pixels[self.pictured]
        device = next(self.network.parameters()).device
        pixels = to_pixels(as_tensor(images), device)
        with evaluation_mode(self.network), torch.inference_mode():
            made = self.network(pixels).pixels.float().cpu().numpy()
        rows = [images, (made.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)]
        strips = [np.concatenate(list(row), axis=1) for row in rows]
        sheet = np.concatenate(strips).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        return Image.fromarray(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet)
