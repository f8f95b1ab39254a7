"""How many wrong labels are found among as many images as there are wrong ones?

    python -m training.studies.label_noise --data fashion-mnist/ --name label_noise [--noise symmetric] [--rate 0.1]

Changes a share of the train labels, then ranks the train images by doubt in their labels: by networks that haven't seen
the image (cross-fitted: each learns one half and answers for the other, as reference networks do), by the logit margin
averaged over the epochs of a network that learns all of them (AUM; Pleiss et al. 2020, arXiv 2001.10528), by that
network's last loss, and by the mean of the first two's ranks. Prints a Markdown table, mean over the random seeds with
Student's 95 % interval; goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from phototriage.common.progress import duration
from training.data.batches import as_tensor
from training.data.label_noise import found_in_budget, margin_doubt, with_noise
from training.data.loading import load
from training.data.pixel_cache import cached_pixels
from training.data.square_input import square_input
from training.featout.featout import evaluation_mode
from training.loop.compute import Compute, use_bf16
from training.loop.run_folder import claim_folder
from training.networks.classifier import Classifier, NetworkSpec
from training.statistics.mistakes import auroc
from training.statistics.seeds import mean_cell
from training.statistics.tables import table as markdown
from training.studies.command import add_folder_options, kept_json, run_study, study_parser, surroundings

BATCH, LEARNING_RATE, SHIFT = 256, 3e-3, 2  # of steps; the highest learning rate; pixels of the random shift


class Learned(NamedTuple):
    """network, and of its images the doubt (n,) in their labels averaged over the epochs, and in the last."""

    network: Classifier
    mean_doubt: NDArray[np.float64]
    last_loss: NDArray[np.float64]


def learn(pixels: Tensor, labels: NDArray[np.int64], classes: int, epochs: int, seed: int) -> Learned:
    """A small CNN on pixels uint8 (n, C, H, W), mirrored and shifted; doubts are of its training passes."""
    torch.manual_seed(seed)
    network = Classifier(NetworkSpec(backbone="small_cnn", classes=classes, channels=1 if pixels.shape[1] == 1 else 3))
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    steps = epochs * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    doubt, loss_of = np.zeros(len(labels)), np.zeros(len(labels))
    compute = Compute(bf16=use_bf16("auto"))
    for epoch in range(epochs):
        began = time.monotonic()
        order = np.random.default_rng((seed, epoch)).permutation(len(labels))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            with compute.precision():
                logits = network(_augmented(pixels[rows])).float()
            losses = F.cross_entropy(logits, torch.from_numpy(labels[rows]), reduction="none")
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(losses.mean())
            optimiser.step()
            schedule.step()
            doubt[rows] += margin_doubt(logits.detach().numpy(), labels[rows]) / epochs
            loss_of[rows] = losses.detach().numpy()
        seconds = time.monotonic() - began
        print(f"epoch {epoch + 1}/{epochs}, about {duration((epochs - epoch - 1) * seconds)} left", file=sys.stderr)
    return Learned(network, doubt, loss_of)


def _augmented(pixels: Tensor) -> Tensor:
    """uint8 (n, C, H, W) → float in [0, 1], each mirrored or not, all shifted alike by up to SHIFT pixels."""
    flip = torch.rand(len(pixels)) < 0.5
    values = torch.where(flip.view(-1, 1, 1, 1), pixels.flip(3), pixels).float() / 255
    down, right = (int(value) for value in torch.randint(-SHIFT, SHIFT + 1, (2,)))
    return torch.roll(values, (down, right), (2, 3)).contiguous(memory_format=torch.channels_last)


def cross_fitted_doubt(
    pixels: Tensor, labels: NDArray[np.int64], classes: int, epochs: int, seed: int
) -> NDArray[np.float64]:
    """(n,): of networks that haven't seen the image; both mirror images are asked."""
    half = np.random.default_rng((seed, 1)).permutation(len(labels)) % 2
    doubt = np.zeros(len(labels))
    for learned in (0, 1):
        own, others = np.flatnonzero(half == learned), np.flatnonzero(half != learned)
        network = learn(pixels[own], labels[own], classes, epochs, seed).network
        doubt[others] = margin_doubt(_answers(network, pixels[others]), labels[others])
    return doubt


def _answers(network: Classifier, pixels: Tensor) -> NDArray[np.float32]:
    """Mean log-probabilities (n, K) of an image and its mirror image."""
    found = []
    with evaluation_mode(network), torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            batch = (pixels[start : start + BATCH].float() / 255).contiguous(memory_format=torch.channels_last)
            both = [torch.log_softmax(network(view), 1) for view in (batch, batch.flip(3))]
            found.append(((both[0] + both[1]) / 2).numpy())
    return np.concatenate(found)


def measure(given: argparse.Namespace) -> list[dict[str, dict[str, float]]]:
    """For each seed, the figures of every method."""
    data = load(given.data)
    folder: Path = given.runs / given.name
    kept = ("size", "epochs", "train_images", "noise", "rate")
    settings = {name: getattr(given, name) for name in kept} | {"data": data.sha256}
    claim_folder(folder, settings, restart=given.restart)
    rule = square_input(given.size, colour="grey", resize="bilinear")
    images = cached_pixels(data, rule, folder / "pixels.npy", workers=given.workers)
    data.require_all_classes(("train",))
    rows = data.indices("train")
    if len(rows) > given.train_images:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[: given.train_images])
    pixels = as_tensor(images[rows])
    truth = data.targets[rows]

    def figures(seed: int) -> dict[str, dict[str, float]]:
        print(f"seed {seed}, {len(rows):,} images", file=sys.stderr, flush=True)
        labels, wrong = with_noise(truth, len(data.labels), given.rate, given.noise, np.random.default_rng((seed, 0)))
        unseen = cross_fitted_doubt(pixels, labels, len(data.labels), given.epochs, seed)
        whole = learn(pixels, labels, len(data.labels), given.epochs, seed)
        scores = {
            "networks that haven't seen the image": unseen,
            "logit margin averaged over epochs": whole.mean_doubt,
            "last loss": whole.last_loss,
            "mean rank of the first two": rankdata(unseen) + rankdata(whole.mean_doubt),
        }
        return {
            name: {"found": found_in_budget(score, wrong), "auroc": auroc(score, wrong)}
            for name, score in scores.items()
        }

    return [kept_json(folder / f"seed_{seed}.json", partial(figures, seed)) for seed in range(given.seeds)]


def table(found: Sequence[dict[str, dict[str, float]]]) -> str:
    rows = [
        [name, *(mean_cell([row[name][figure] for row in found], digits=4) for figure in ("found", "auroc"))]
        for name in found[0]
    ]
    return markdown(["method", "found within the budget", "AUROC"], rows)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = study_parser("training.studies.label_noise", __doc__)
    add_folder_options(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="images in classes, taken as grey")
    add("--noise", choices=["symmetric", "pair"], default="symmetric")
    add("--rate", type=float, default=0.1)
    add("--seeds", type=int, default=3)
    add("--epochs", type=int, default=8)
    add("--size", type=int, default=28)
    add("--train-images", type=int, default=60_000, help="at most, drawn")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)

    def text() -> str:
        noise = f"{given.rate:.0%} {given.noise} noise, {given.seeds} seeds"
        return f"{table(measure(given))}\n\n{noise}; {surroundings()}"

    return run_study(text)


if __name__ == "__main__":
    sys.exit(main())
