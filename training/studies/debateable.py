"""Which images lie between two classes? By the latent of a small classifier, as one of this project's origins had it.

    python -m training.studies.debateable --data clocks_crocodiles.tar --name clocks [--tolerance 0.05 0.1 0.2]

The network is theirs (32 px; 89,633 parameters with their single output); the latent is its first dense layer, before
the ReLU; class centres are means over the train images that it gets right. An image is debateable where the difference
of its distances to both centres is below the tolerance, in units of the distance between the centres: theirs had no
unit. Since an image that is far from both can be as near to one as to the other, both distances are given, and how many
of the debateable are farther from their nearest centre than 95 % of all. Prints a Markdown table of the split `--on`,
and leaves a picture of the most debateable, with their distances, in runs/NAME/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor, nn

from phototriage.common.atomic_writes import atomic_file
from training.data.batches import as_tensor
from training.data.dataset import Dataset
from training.data.loading import load
from training.data.pixel_cache import cached_pixels
from training.data.square_input import square_input
from training.featout.featout import evaluation_mode
from training.sources.files import DataError
from training.statistics.intervals import share
from training.statistics.tables import table as markdown
from training.statistics.tables import with_interval
from training.studies.command import add_folder_options, run_study, study_parser, surroundings

SIDE = 32
TOLERANCES = (0.05, 0.1, 0.2)
SHOWN, COLUMNS, CELL, CAPTION = 40, 8, 96, 26  # pixels


class OriginNetwork(nn.Module):
    """Pixels (N, 3, 32, 32) in [0, 1] → logits (N, K), by a latent (N, 256)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 2), (16, 32, 1), (32, 64, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.MaxPool2d(2), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Linear(256, 256)
        self.head = nn.Linear(256, classes)

    def latent(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.dense(self.features(pixels))
        return found

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(F.relu(self.latent(pixels)))
        return logits


class Between(NamedTuple):
    """Of n images: distances to the two nearest centres (n, 2), the nearest first, and their difference (n,), all in
    units of the distance between these two centres."""

    distances: NDArray[np.float64]
    difference: NDArray[np.float64]


def between(latent: NDArray[np.float64], centres: NDArray[np.float64]) -> Between:
    """latent (n, D), centres (K, D)."""
    distances = np.linalg.norm(latent[:, None] - centres[None], axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :2]
    apart = np.linalg.norm(centres[order[:, 0]] - centres[order[:, 1]], axis=1)
    both = np.take_along_axis(distances, order, 1) / apart[:, None]
    return Between(both, both[:, 1] - both[:, 0])


def train(
    network: nn.Module, pixels: Tensor, labels: NDArray[np.int64], epochs: int, batch_size: int, seed: int
) -> None:
    """Adam at 1e-3, mirrored at random: without that it knows 500 images by heart."""
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    targets = torch.from_numpy(labels)
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(labels)))
        for rows in order.split(batch_size):
            flip = (torch.rand(len(rows)) < 0.5).view(-1, 1, 1, 1)
            batch = torch.where(flip, pixels[rows].flip(3), pixels[rows])
            loss = F.cross_entropy(network(batch), targets[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()


def table(found: Between, wrong: NDArray[np.bool_], tolerances: Sequence[float]) -> str:
    """Markdown: how often the classifier is wrong about the debateable, and about the others."""
    far = found.distances[:, 0] > np.quantile(found.distances[:, 0], 0.95)
    rows = []
    for tolerance in tolerances:
        chosen = found.difference < tolerance
        shares = [_share(wrong[chosen]), _share(wrong[~chosen])]
        near, second = found.distances[chosen].mean(0) if chosen.any() else (np.nan, np.nan)
        count = f"{int(chosen.sum()):,} of {len(wrong):,}"
        rows.append([f"{tolerance:g}", count, *shares, f"{near:.2f}, {second:.2f}", str(int(far[chosen].sum()))])
    header = (
        "tolerance",
        "debateable",
        "wrong among them",
        "wrong among the others",
        "mean distances",
        "far from both",
    )
    return markdown(header, rows)


def _share(wrong: NDArray[np.bool_]) -> str:
    return with_interval(share(int(wrong.sum()), len(wrong))) if len(wrong) else "none"


def picture(data: Dataset, rows: Sequence[int], found: Between) -> Image.Image:
    """The most debateable images, each with its label and both distances."""
    order = np.argsort(found.difference, kind="stable")[:SHOWN]
    lines = -(-len(order) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, lines * (CELL + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, one in enumerate(order):
        left, top = place % COLUMNS * CELL, place // COLUMNS * (CELL + CAPTION)
        image = ImageOps.contain(data.image(rows[one]).convert("RGB"), (CELL - 4, CELL - 4))
        sheet.paste(image, (left + 2, top + 2))
        near, second = found.distances[one]
        name = data.labels[data.records[rows[one]].label]
        draw.text((left + 2, top + CELL), f"{name[:14]}\n{near:.2f} {second:.2f}", "black", spacing=0)
    return sheet


def run(given: argparse.Namespace) -> str:
    """Learns, measures, and writes the picture; returns what to print."""
    data = load(given.data)
    if len(data.labels) < 2:
        raise DataError(f"{data.name} has one class; between needs two.")
    data.require_all_classes(("train", given.on))
    folder: Path = given.runs / given.name
    folder.mkdir(parents=True, exist_ok=True)
    images = cached_pixels(data, square_input(SIDE), folder / f"pixels_{data.sha256[:16]}.npy", workers=given.workers)
    pixels = as_tensor(images).float() / 255
    train_rows, rows = data.indices("train"), data.indices(given.on)
    torch.manual_seed(given.seed)
    network = OriginNetwork(len(data.labels))
    train(network, pixels[train_rows], data.targets[train_rows], given.epochs, given.batch_size, given.seed)
    with evaluation_mode(network), torch.inference_mode():
        latent, predicted = network.latent(pixels).double().numpy(), network(pixels).argmax(1).numpy()
    wrong = predicted != data.targets
    right = [train_rows[(data.targets[train_rows] == label) & ~wrong[train_rows]] for label in range(len(data.labels))]
    if not all(map(len, right)):
        raise DataError(f"{data.name}: the network gets no train image of a class right. Give more --epochs.")
    centres = np.stack([latent[rows].mean(0) for rows in right])
    found = between(latent[rows], centres)
    with atomic_file(folder / "debateable.png") as part:
        picture(data, [int(row) for row in rows], found).save(part, "PNG")
    parameters = sum(weight.numel() for weight in network.parameters())
    summary = f"{data.name} {given.on}: wrong about {_share(wrong[rows])}, train {_share(wrong[train_rows])}"
    return f"{table(found, wrong[rows], given.tolerance)}\n\n{summary}; {parameters:,} parameters"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = study_parser("training.studies.debateable", __doc__)
    add_folder_options(parser, restart=False)
    add = parser.add_argument
    add("--data", type=Path, required=True)
    add("--tolerance", type=float, nargs="+", default=TOLERANCES, help="in units of the distance between two centres")
    add("--epochs", type=int, default=40)
    add("--batch-size", type=int, default=64)
    add("--on", choices=["val", "test"], default="val")
    add("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    return run_study(lambda: f"{run(given)}\n{surroundings()}")


if __name__ == "__main__":
    sys.exit(main())
