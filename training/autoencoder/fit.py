"""The training of an autoencoder: L1, where there are labels also of classes, and after each epoch what became of
every single image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from torch import Tensor

from training.data.augmentation import Augmentation
from training.data.batches import as_tensor, to_pixels
from training.featout.featout import evaluation_mode
from training.loop.compute import Compute
from training.loop.loop import EpochResult, Loop, LoopSettings, Watcher
from training.networks.autoencoder import Autoencoder, errors
from training.networks.prototypes import Prototypes

MEASURED_AT_ONCE = 256
AUGMENTATION = Augmentation()

Images = NDArray[np.uint8]


class AutoencoderSettings(LoopSettings):
    """What decides a training, beside the images and the starting weights. bf16: of the steps; what is measured is
    measured in float32."""

    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0, validation_alias=AliasChoices("learning_rate", "rate"))
    augmentation: bool = True  # crops and tones, drawn anew each epoch
    mirrored: bool = True  # half of the images
    class_weight: float = Field(default=0, ge=0)  # of the classes' cross-entropy beside L1


@dataclass(frozen=True)
class AutoencoderEpoch(EpochResult):
    """l1: of pixels in [0, 1]; that of training is taken as it learns. val_accuracy: how often the nearest prototype is
    the most probable class by the targets; None where there are none. val_loss: what the best epoch is chosen by."""

    drawn = ("train_l1", "val_l1", "val_ssim", "val_accuracy")
    train_l1: float
    val_l1: float
    val_ssim: float
    val_accuracy: float | None
    val_loss: float

    def summary(self) -> str:
        accuracy = f"  accuracy {self.val_accuracy:.4f}" if self.val_accuracy is not None else ""
        return f"L1 {self.train_l1:.4f}  validation L1 {self.val_l1:.4f}  SSIM {self.val_ssim:.4f}{accuracy}"


class Examples(NamedTuple):
    """Of each image (N,): L1 and SSIM of its reconstruction; its latent (N, D). All float32."""

    l1: NDArray[np.float32]
    ssim: NDArray[np.float32]
    latent: NDArray[np.float32]


class MeasuringWatcher(Watcher):
    def measured(self, epoch: int, examples: Examples) -> None:
        """What became of each image after an epoch, to be kept."""


View = Callable[[int, np.random.Generator], Images]


class AutoencoderFit(Loop[AutoencoderEpoch, NDArray[np.int64], NDArray[np.int64]]):
    """One training of `network` on the rows `train` of `images` uint8 (N, H, W, C), choosing its best epoch on the rows
    `val`, or taking the last if there are none. After `run()` the network holds that epoch's weights.

    `targets` (N, K), class probabilities of the rows `train` and `val`: where the settings give them a weight, the
    latent learns to lie near its class. `view`, where the settings augment: a row as it is to be learned this time,
    uint8 (H, W, C); without it the image itself.
    """

    result_type = AutoencoderEpoch
    clip_norm = None
    network: Autoencoder
    settings: AutoencoderSettings
    watcher: MeasuringWatcher

    def __init__(
        self,
        network: Autoencoder,
        images: Images,
        train: Sequence[int],
        val: Sequence[int],
        settings: AutoencoderSettings,
        *,
        compute: Compute,
        watcher: MeasuringWatcher,
        folder: Path | None = None,
        targets: NDArray[np.float32] | None = None,
        view: View | None = None,
    ) -> None:
        super().__init__(network, settings, compute, watcher, folder)
        self.images, self.view = images, view
        self.train, self.val = np.asarray(train, np.int64), np.asarray(val, np.int64)
        self.targets, self.prototypes = targets, None
        weights = list(network.parameters())
        if targets is not None and settings.class_weight > 0:
            self.prototypes = Prototypes(targets.shape[1], network.spec.global_latent).to(compute.device)
            weights += self.prototypes.parameters()
        self.optimiser = torch.optim.Adam(weights, lr=settings.learning_rate)

    def plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """The rows of each batch. A last one of a single row is left out, since batch norms take none."""
        rows = np.random.default_rng((self.settings.seed, epoch)).permutation(self.train)
        size = self.settings.batch_size
        return [rows[start : start + size] for start in range(0, len(rows), size) if len(rows) - start > 1]

    def batches(self, epoch: int, plan: Sequence[NDArray[np.int64]]) -> Sequence[NDArray[np.int64]]:
        self.network.train()
        return plan

    def _batch(self, rows: NDArray[np.int64], epoch: int, step: int) -> Tensor:
        """(N, C, H, W) in [0, 1], as it is to be learned and drawn again."""
        images = np.stack([self._view(int(row), epoch) for row in rows])
        pixels = self._pixels(images)
        if self.view is None:
            return pixels
        seed = int(np.random.SeedSequence((self.settings.seed, epoch, step)).generate_state(1)[0])
        return AUGMENTATION.tones(pixels, torch.Generator().manual_seed(seed))

    def _view(self, row: int, epoch: int) -> Images:
        rng = np.random.default_rng((self.settings.seed, epoch, row))
        if self.view is not None:
            return self.view(row, rng)
        image: Images = self.images[row]
        return image[:, ::-1] if self.settings.mirrored and rng.random() < 0.5 else image

    def step(self, batch: NDArray[np.int64], epoch: int, step: int) -> Mapping[str, float]:
        pixels = self._batch(batch, epoch, step)
        with self.compute.precision():
            made = self.network(pixels)
        l1 = (made.pixels.float() - pixels).abs().mean()
        loss = l1
        if self.prototypes is not None:
            assert self.targets is not None
            targets = torch.from_numpy(self.targets[batch]).to(self.compute.device)
            loss = l1 + self.settings.class_weight * self.prototypes.loss(self._global(made.latent), targets)
        self.descend(loss)
        return {"loss": l1.item() * len(batch), "seen": len(batch)}

    def means(self) -> Mapping[str, float]:
        return {"L1": self.sums["loss"] / max(self.sums["seen"], 1)}

    def _pixels(self, images: Images) -> Tensor:
        return to_pixels(as_tensor(images), self.compute.device)

    def measure(self) -> Examples:
        """Of all images, by the network as it is now, in evaluation mode."""
        found: list[Examples] = []
        with evaluation_mode(self.network), torch.inference_mode():
            for start in range(0, len(self.images), MEASURED_AT_ONCE):
                pixels = self._pixels(self.images[start : start + MEASURED_AT_ONCE])
                reconstruction = self.network(pixels)
                l1, ssim = errors(reconstruction.pixels, pixels)
                found.append(Examples(*(each.float().cpu().numpy() for each in (l1, ssim, reconstruction.latent))))
        return Examples(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def validate(self, epoch: int) -> AutoencoderEpoch:
        """Measure every image, and tell the watcher of each."""
        examples = self.measure()
        self.watcher.measured(epoch, examples)
        rows = self.val if len(self.val) else self.train
        val_l1 = float(examples.l1[rows].mean(dtype=np.float64))
        val_accuracy, cross_entropy = self._classes(examples, rows)
        return AutoencoderEpoch(
            epoch=epoch,
            seconds=self.sums["seconds"],
            best=False,
            train_l1=self.means()["L1"],
            val_l1=val_l1,
            val_ssim=float(examples.ssim[rows].mean(dtype=np.float64)),
            val_accuracy=val_accuracy,
            val_loss=val_l1 + self.settings.class_weight * cross_entropy,
        )

    def is_best(self, result: AutoencoderEpoch) -> bool:
        return not len(self.val) or all(result.val_loss < earlier.val_loss for earlier in self.results())

    def _classes(self, examples: Examples, rows: NDArray[np.int64]) -> tuple[float | None, float]:
        """How often the nearest prototype is the targets' class, and cross-entropy; None and 0 without targets."""
        if self.prototypes is None:
            return None, 0.0
        assert self.targets is not None
        targets = torch.from_numpy(self.targets[rows])
        with torch.inference_mode():
            latent = torch.from_numpy(examples.latent[rows]).to(self.compute.device)
            logits = self.prototypes(self._global(latent)).cpu()
        right = (logits.argmax(1) == targets.argmax(1)).float().mean().item()
        return right, torch.nn.functional.cross_entropy(logits, targets).item()

    def _global(self, latent: Tensor) -> Tensor:
        """What says what is in an image, wherever. Places would be learned by heart before they told classes apart."""
        return latent[:, : self.network.spec.global_latent]

    def extra_state(self) -> dict[str, Any]:
        return {"prototypes": None if self.prototypes is None else self.prototypes.state_dict()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if self.prototypes is not None:
            self.prototypes.load_state_dict(state["prototypes"])
