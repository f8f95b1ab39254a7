"""Records of a dataset as batches of pixels, the same for any number of worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, prepare
from training.data.augmentation import Augmentation
from training.data.dataset import Dataset


@dataclass(frozen=True)
class _Images(TorchDataset[tuple[Tensor, int]]):
    data: Dataset
    indices: Sequence[int]
    rule: InputConfig
    augmentation: Augmentation | None
    seed: tuple[int, int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        index = int(self.indices[position])
        if self.augmentation is None:
            pixels = prepare(self.data.read(index), self.rule, ImageLimits()).pixels
        else:
            rng = np.random.default_rng((*self.seed, index))
            pixels = self.augmentation.view(self.data.image(index), self.rule, rng)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), self.data.records[index].label


def batches(
    data: Dataset,
    indices: Sequence[int],
    rule: InputConfig,
    *,
    batch_size: int,
    workers: int,
    augmentation: Augmentation | None = None,
    seed: tuple[int, int] = (0, 0),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of uint8 (N, C, H, W) pixels and int64 (N,) labels, in the order of `indices`.

    Without augmentation the pixels come from `phototriage.images.pixels.prepare`, the path of serving. With it, each
    image's draw depends on `seed` (random seed, epoch) and its index alone.
    """
    images = _Images(data, indices, rule, augmentation, seed)
    yield from DataLoader(images, batch_size=batch_size, num_workers=workers)


def to_pixels(images: Tensor, device: torch.device) -> Tensor:
    """uint8 (N, C, H, W) to float in [0, 1] on the device, channels last: convolutions run fastest in that layout."""
    return images.to(device).to(memory_format=torch.channels_last).float() / 255


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, C) → (N, C, H, W), a copy."""
    return torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))


def epoch_order(indices: Sequence[int], seed: int, epoch: int) -> list[int]:
    """The shuffled records of an epoch."""
    rng = np.random.default_rng((seed, epoch))
    return [int(indices[i]) for i in rng.permutation(len(indices))]
