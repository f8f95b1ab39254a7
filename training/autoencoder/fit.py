"""The training loop of an autoencoder: L1, where there are labels also of classes, and after each epoch what became of
every single image.

Every draw depends on (random seed, epoch, step, image) alone, and a checkpoint holds all else, so a run that was
stopped takes the same steps as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.data.augmentation import Augmentation
from training.data.batches import to_pixels
from training.featout.featout import evaluation_mode
from training.loop.evaluation import precision_context
from training.loop.run import write_atomically
from training.networks.autoencoder import Autoencoder, errors
from training.networks.prototypes import Prototypes

CHECKPOINT, BEST = "checkpoint.pt", "best.pt"
CHECKPOINT_SECONDS = 120
MEASURED_AT_ONCE = 256
AUGMENTATION = Augmentation()

Images = NDArray[np.uint8]


class AutoencoderSettings(BaseModel):
    """What decides a training, beside the images and the starting weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=2)
    rate: float = Field(default=2e-3, gt=0)
    augmentation: bool = True  # crops and tones, drawn anew each epoch
    mirrored: bool = True  # half of the images
    class_weight: float = Field(default=0, ge=0)  # of the classes' cross-entropy beside L1
    bf16: bool = False  # of the steps; what is measured is measured in float32
    seed: int = 0


@dataclass(frozen=True)
class AutoencoderEpoch:
    """What an epoch came to. l1: of pixels in [0, 1]; that of training is taken as it learns. val_accuracy: how
    often the nearest prototype is the most probable class by the targets; None where there are none. val_loss: what the
    best epoch is chosen by."""

    epoch: int
    train_l1: float
    val_l1: float
    val_ssim: float
    val_accuracy: float | None
    val_loss: float
    seconds: float
    best: bool


class Examples(NamedTuple):
    """Of each image (N,): L1 and SSIM of its reconstruction; its latent (N, D). All float32."""

    l1: NDArray[np.float32]
    ssim: NDArray[np.float32]
    latent: NDArray[np.float32]


class Watcher(Protocol):
    """Whoever shows the progress, and keeps what became of each image."""

    def step(self, *, epoch: int, step: int, steps: int, loss: float, images: int) -> None: ...

    def epoch(self, result: AutoencoderEpoch, examples: Examples) -> None: ...


View = Callable[[int, np.random.Generator], Images]


class AutoencoderFit:
    """One training of `network` on the rows `train` of `images` uint8 (N, H, W, C), choosing its best epoch on the rows
    `val`, or taking the last if there are none. After `run()` the network holds that epoch's weights.

    `targets` (N, K), class probabilities of the rows `train` and `val`: where the settings give them a weight, the
    latent learns to lie near its class. `view`, where the settings augment: a row as it is to be learned this time,
    uint8 (H, W, C); without it the image itself.
    """

    def __init__(
        self,
        network: Autoencoder,
        images: Images,
        train: Sequence[int],
        val: Sequence[int],
        settings: AutoencoderSettings,
        *,
        device: torch.device,
        watcher: Watcher,
        folder: Path | None = None,
        targets: NDArray[np.float32] | None = None,
        view: View | None = None,
    ) -> None:
        self.network, self.images, self.settings, self.view = network, images, settings, view
        self.train, self.val = np.asarray(train, np.int64), np.asarray(val, np.int64)
        self.device, self.watcher, self.folder = device, watcher, folder
        network.to(device).to(memory_format=torch.channels_last)
        self.targets, self.prototypes = targets, None
        weights = list(network.parameters())
        if targets is not None and settings.class_weight > 0:
            self.prototypes = Prototypes(targets.shape[1], network.spec.global_latent).to(device)
            weights += self.prototypes.parameters()
        self.optimiser = torch.optim.Adam(weights, lr=settings.rate)
        self.position = (0, 0)  # epoch and step to do next
        self.sums = {"loss": 0.0, "seen": 0.0, "seconds": 0.0}
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] | None = None

    def run(self, *, stop: Callable[[int, int], bool] = lambda epoch, step: False) -> list[AutoencoderEpoch]:
        """Train to the end, or until `stop(epoch, step)` says so after a checkpoint. Returns the epochs."""
        self._resume()
        while self.position[0] < self.settings.epochs:
            if not self._epoch(stop):
                break
        if self.best is not None:
            self.network.load_state_dict(self.best)
        return [AutoencoderEpoch(**one) for one in self.history]

    def _epoch(self, stop: Callable[[int, int], bool]) -> bool:
        """The rest of the current epoch; False if it was stopped."""
        epoch, first = self.position
        plan = self._plan(epoch)
        self.network.train()
        saved = began = time.monotonic()
        for step, rows in enumerate(plan[first:], start=first):
            self._step(rows, epoch, step, (epoch + step / len(plan)) / self.settings.epochs)
            self.position = (epoch, step + 1)
            now = time.monotonic()
            self.sums["seconds"] += now - began
            began = now
            loss = self.sums["loss"] / self.sums["seen"]
            self.watcher.step(epoch=epoch, step=step + 1, steps=len(plan), loss=loss, images=int(self.sums["seen"]))
            if now - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = now
            if stop(epoch, step + 1):
                self._save()
                return False
        self._finish_epoch(epoch)
        return True

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        """The rows of each batch of an epoch. A last one of a single row is left out, since batch norms take none."""
        rows = np.random.default_rng((self.settings.seed, epoch)).permutation(self.train)
        size = self.settings.batch_size
        return [rows[start : start + size] for start in range(0, len(rows), size) if len(rows) - start > 1]

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

    def _step(self, rows: NDArray[np.int64], epoch: int, step: int, done: float) -> None:
        pixels = self._batch(rows, epoch, step)
        with precision_context(self.device, self.settings.bf16):
            made = self.network(pixels)
        l1 = (made.pixels.float() - pixels).abs().mean()
        loss = l1
        if self.prototypes is not None:
            assert self.targets is not None
            targets = torch.from_numpy(self.targets[rows]).to(self.device)
            loss = l1 + self.settings.class_weight * self.prototypes.loss(self._global(made.latent), targets)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * min(1.0, done * 40 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.sums["loss"] += l1.item() * len(rows)
        self.sums["seen"] += len(rows)

    def _pixels(self, images: Images) -> Tensor:
        return to_pixels(torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C")), self.device)

    def measure(self) -> Examples:
        """Of all images, by the network as it is now, in evaluation mode."""
        found: list[Examples] = []
        with evaluation_mode(self.network), torch.inference_mode():
            for pixels in self._all_pixels():
                reconstruction = self.network(pixels)
                l1, ssim = errors(reconstruction.pixels, pixels)
                found.append(Examples(*(each.float().cpu().numpy() for each in (l1, ssim, reconstruction.latent))))
        return Examples(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _all_pixels(self) -> Iterator[Tensor]:
        for start in range(0, len(self.images), MEASURED_AT_ONCE):
            yield self._pixels(self.images[start : start + MEASURED_AT_ONCE])

    def _finish_epoch(self, epoch: int) -> None:
        """Measure every image, keep the weights if they are the best, write both files, move on."""
        examples = self.measure()
        judged = self.val if len(self.val) else self.train
        val_l1 = float(examples.l1[judged].mean(dtype=np.float64))
        told, entropy = self._classes(examples, judged)
        val_loss = val_l1 + self.settings.class_weight * entropy
        best = not len(self.val) or all(val_loss < one["val_loss"] for one in self.history)
        result = AutoencoderEpoch(
            epoch=epoch,
            train_l1=self.sums["loss"] / max(self.sums["seen"], 1),
            val_l1=val_l1,
            val_ssim=float(examples.ssim[judged].mean(dtype=np.float64)),
            val_accuracy=told,
            val_loss=val_loss,
            seconds=self.sums["seconds"],
            best=best,
        )
        if best:
            self.best = {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}
            if self.folder is not None:
                write_atomically(self.folder / BEST, self.best)
        self.history.append(asdict(result))
        self.position = (epoch + 1, 0)
        self.sums = dict.fromkeys(self.sums, 0.0)
        # Before the checkpoint: a run that is killed between the two measures this epoch's images again.
        self.watcher.epoch(result, examples)
        self._save()

    def _classes(self, examples: Examples, rows: NDArray[np.int64]) -> tuple[float | None, float]:
        """How often the nearest prototype is the targets' class, and cross-entropy; None and 0 without targets."""
        if self.prototypes is None:
            return None, 0.0
        assert self.targets is not None
        targets = torch.from_numpy(self.targets[rows])
        with torch.inference_mode():
            latent = torch.from_numpy(examples.latent[rows]).to(self.device)
            logits = self.prototypes(self._global(latent)).cpu()
        right = (logits.argmax(1) == targets.argmax(1)).float().mean().item()
        return right, torch.nn.functional.cross_entropy(logits, targets).item()

    def _global(self, latent: Tensor) -> Tensor:
        """What says what is in an image, wherever. Places would be learned by heart before they told classes apart."""
        return latent[:, : self.network.spec.global_latent]

    def _save(self) -> None:
        if self.folder is None:
            return
        state = {
            "prototypes": None if self.prototypes is None else self.prototypes.state_dict(),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "position": self.position,
            "sums": dict(self.sums),
            "history": list(self.history),
        }
        write_atomically(self.folder / CHECKPOINT, state)

    def _resume(self) -> None:
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return
        state = torch.load(self.folder / CHECKPOINT, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        if self.prototypes is not None:
            self.prototypes.load_state_dict(state["prototypes"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.position, self.sums, self.history = state["position"], state["sums"], state["history"]
        if (self.folder / BEST).exists():
            self.best = torch.load(self.folder / BEST, map_location="cpu", weights_only=True)
