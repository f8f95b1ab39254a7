"""The head that a discriminant analysis finds on a backbone, where training starts and ends; pairs to validate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from phototriage.images.input_config import InputConfig
from training.data.photos import Photos
from training.embedder.views import outputs_for
from training.loop.compute import Compute
from training.networks.embedder import Embedder, discriminant
from training.pairs.labelled_pairs import Neighbours, PairSets, Shot, dhash, everyday_pairs, hard_pairs
from training.reposts.chains import draw_everyday, draw_hard

HEAD_PHOTOS, HEAD_VIEWS, HEAD_SHRINKAGE = 1500, 4, 0.1


def head_shots(photos: Photos, seed: int, most: int) -> list[Shot]:
    """Up to `most` train photos, HEAD_VIEWS of each in a row: as it is, then hard and everyday reposts in turns."""
    rng = np.random.default_rng((seed, 1))
    shots = []
    for number in rng.permutation(photos.numbers("train"))[:most]:
        shots.append(Shot(int(number)))
        shots += [Shot(int(number), (draw_everyday if i % 2 else draw_hard)(rng)) for i in range(HEAD_VIEWS - 1)]
    return shots


def fit_head(
    network: Embedder,
    photos: Photos,
    rule: InputConfig,
    compute: Compute,
    *,
    seed: int,
    most: int = HEAD_PHOTOS,
    shrinkage: float = HEAD_SHRINKAGE,
) -> None:
    """Give `network` the linear layer by which its backbone, as it is, tells reposts of up to `most` train photos
    apart."""
    shots = head_shots(photos, seed, most)
    pooled = outputs_for(network, network.pooled, photos, shots, rule, compute)
    views = pooled.reshape(len(shots) // HEAD_VIEWS, HEAD_VIEWS, -1)
    weights, bias = discriminant(views, network.spec.dimension, shrinkage)
    scale = 1 / np.linalg.norm(views[:, 0] @ weights.T + bias, axis=1).mean()  # about unit length before the norm
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights * scale))
        network.head.bias.copy_(torch.from_numpy(bias * scale))


def backbone_features(
    network: Embedder, photos: Photos, numbers: Sequence[int], rule: InputConfig, compute: Compute
) -> NDArray[np.float32]:
    """The backbone's last maps, averaged over the image, of unit length: (n, 1280)."""

    def mean_map(pixels: Tensor) -> Tensor:
        return F.normalize(F.adaptive_avg_pool2d(network.backbone(pixels), 1).flatten(1))

    shots = [Shot(number) for number in numbers]
    return outputs_for(network, mean_map, photos, shots, rule, compute.in_float32())


def labelled_pairs(
    network: Embedder,
    photos: Photos,
    numbers: Sequence[int],
    kinds: Sequence[str],
    rule: InputConfig,
    compute: Compute,
    *,
    seed: int,
) -> PairSets:
    """Everyday and hard pairs of the photos `numbers`, hard negatives chosen by the network's backbone as it is, and by
    dHash, among those of the same kind."""
    features = backbone_features(network, photos, numbers, rule, compute)
    hashes = np.array([dhash(photos.image(number)) for number in numbers], np.uint64)
    neighbours = Neighbours(numbers, photos.groups[list(numbers)], kinds, features, hashes)
    return PairSets(everyday_pairs(numbers, neighbours, seed), hard_pairs(numbers, neighbours, seed + 1))
