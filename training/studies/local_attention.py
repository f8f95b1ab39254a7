"""Local features in the manner of DELF (Noh et al. 2017): attention over a backbone's feature map, trained with
classification, and its strongest places as points.

    python -m training.studies.local_attention --data caltech101.tar --classes '^caltech101/([^/]+)/' --to attention.pt
        [--leave-out REGEX] [--photos 600]

The backbone is EfficientNet-Lite0 as it is published, up to the last maps of a sixteenth of the image's side, and stays
as it is; photos are grey, as kept copies are. Descriptors are reduced by PCA, and whitened. Prints the accuracy on
photos that were left for validation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from phototriage.common.errors import PhototriageError
from training.data.photos import load_photos
from training.data.splits import group_names
from training.networks.backbones import EfficientNetLite0
from training.sources.files import DataError

STAGES, CHANNELS, STRIDE = 6, 112, 16
NUMBERS = 64  # of a descriptor
HIDDEN = 128
SIDE = 288  # pixels of a photo in training
STEPS, BATCH, RATE = 400, 64, 2e-3
VALIDATION = 5  # one of so many photos
SEED = 3


class LocalAttention(nn.Module):
    """Feature maps (N, CHANNELS, h, w) of grey images (N, 1, H, W) in [0, 1], and attention (N, 1, h, w), above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = EfficientNetLite0().stages[:STAGES]
        self.attention = nn.Sequential(
            nn.Conv2d(CHANNELS, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, 1, 1), nn.Softplus()
        )
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("reduction", torch.eye(NUMBERS, CHANNELS))
        self.mean: Tensor
        self.reduction: Tensor

    numbers = NUMBERS

    @classmethod
    def read(cls, path: Path) -> LocalAttention:
        """What the command wrote. Raises OSError, and RuntimeError for another file."""
        network = cls().eval()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return network

    def maps(self, grey: Tensor) -> Tensor:
        # As the backbone scales what it is given.
        found: Tensor = self.stages(grey.expand(-1, 3, -1, -1) * (255 / 128) - 127 / 128)
        return found

    @torch.inference_mode()
    def describe(self, grey: NDArray[np.uint8], most: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Of a grey image uint8 (H, W): the strongest points (n, 2), (column, row), and their descriptors (n, NUMBERS)
        of unit length."""
        height, width = grey.shape
        size = [max(2, round(side / (2 * STRIDE))) * 2 * STRIDE for side in grey.shape]
        image = F.interpolate(torch.from_numpy(grey)[None, None].float() / 255, size, mode="bilinear")
        maps = self.maps(image)
        rows, columns = maps.shape[2:]
        chosen = self.attention(maps).flatten().topk(min(most, rows * columns)).indices
        descriptors = self.reduced(maps[0].flatten(1).T[chosen])
        row, column = chosen // columns, chosen % columns
        points = torch.stack([(column + 0.5) * (width / columns), (row + 0.5) * (height / rows)], 1) - 0.5
        return points.float().numpy(), descriptors.numpy()

    def reduced(self, features: Tensor) -> Tensor:
        return F.normalize((F.normalize(features, dim=1) - self.mean) @ self.reduction.T, dim=1)

    @torch.no_grad()
    def fit_reduction(self, features: Tensor) -> None:
        """PCA of features (n, CHANNELS), whitened."""
        features = F.normalize(features, dim=1)
        self.mean.copy_(features.mean(0))
        values, vectors = torch.linalg.eigh((features - self.mean).T.cov())
        best = values.argsort(descending=True)[:NUMBERS]
        self.reduction.copy_((vectors[:, best] / values[best].clamp_min(1e-8).sqrt()).T)


def train(network: LocalAttention, maps: Tensor, labels: Tensor) -> float:
    """Train attention on feature maps (N, CHANNELS, h, w) in float16. Returns the accuracy on every fifth photo."""
    head = nn.Linear(CHANNELS, int(labels.max()) + 1)
    held = torch.arange(len(maps)) % VALIDATION == 0
    known = (~held).nonzero()[:, 0]
    parameters = [*network.attention.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, RATE, weight_decay=1e-3)

    def logits(batch: Tensor) -> Tensor:
        features = F.normalize(batch.float(), dim=1)
        weight = network.attention(batch.float())
        found: Tensor = head(F.normalize((features * weight).sum((2, 3)), dim=1) * CHANNELS**0.5)
        return found

    for _ in range(STEPS):
        chosen = known[torch.randint(len(known), (BATCH,))]
        loss = F.cross_entropy(logits(maps[chosen]), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        right = logits(maps[held]).argmax(1) == labels[held]
    return float(right.float().mean())


def precomputed(network: LocalAttention, images: Sequence[Image.Image]) -> Tensor:
    """Feature maps float16 of grey photos of SIDE × SIDE."""
    found = []
    with torch.inference_mode():
        for image in images:
            grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
            found.append(network.maps(torch.from_numpy(grey.copy())[None, None].float() / 255).half())
    return torch.cat(found).clone()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.studies.local_attention", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--classes", required=True, metavar="REGEX", help="whose group is the class in source/name")
    parser.add_argument("--leave-out", metavar="REGEX", help="photos that don't train")
    parser.add_argument("--photos", type=int, default=600, help="at most, drawn")
    parser.add_argument("--to", type=Path, required=True, help="file to write")
    given = parser.parse_args(arguments)
    torch.manual_seed(SEED)
    try:
        photos = load_photos([given.data], leave_out=given.leave_out)
        order = np.random.default_rng(SEED).permutation(photos.numbers("train"))
        chosen = [int(number) for number in order[: given.photos]]
        names = group_names([photos.photos[number].key for number in chosen], given.classes)
        classes = {name: place for place, name in enumerate(sorted({name or "" for name in names}))}
        if len(classes) < 2:
            raise DataError(f"--classes {given.classes} finds {len(classes)} classes, and two are needed")
        network = LocalAttention().eval()
        backbone = EfficientNetLite0().eval()
        backbone.load_packaged()
        network.stages = backbone.stages[:STAGES]
        maps = precomputed(network, [photos.image(number) for number in chosen])
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    accuracy = train(network, maps, torch.tensor([classes[name or ""] for name in names]))
    features = maps.float().permute(0, 2, 3, 1).reshape(-1, CHANNELS)
    network.fit_reduction(features[torch.randperm(len(features))[:50_000]])
    torch.save(network.state_dict(), given.to)
    print(f"{len(chosen):,} photos of {len(classes)} classes: accuracy {accuracy:.3f} on every fifth")
    return 0


if __name__ == "__main__":
    sys.exit(main())
