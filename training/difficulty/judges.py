"""Good models whose mistakes say which images are hard: linear layers on a published backbone's features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from training.data.dataset import Dataset
from training.data.square_input import square_input
from training.difficulty.features import fit_head
from training.loop.compute import Compute
from training.loop.evaluation import predict
from training.networks.backbones import EfficientNetLite0

FOLDS = 5
SIDE = 224  # of the published backbone's input, in pixels
DEPTHS = (7, 8)  # its last two stages


def judged(data: Dataset, train: Sequence[int], val: Sequence[int], compute: Compute) -> NDArray[np.bool_]:
    """(S, m): the mistakes about images `val` of S models, none of which has seen them. For each depth a model is
    fitted on the images `train` without those of each fold."""
    backbone = EfficientNetLite0()
    backbone.load_packaged()
    backbone.to(compute.device).to(memory_format=torch.channels_last)

    def pooled(pixels: Tensor) -> Tensor:
        maps, found = pixels * (255 / 128) - 127 / 128, []
        for number, stage in enumerate(backbone.stages):
            maps = stage(maps)
            if number in DEPTHS:
                found.append(F.adaptive_avg_pool2d(maps, 1).flatten(1))
        return torch.cat(found, 1)

    rows = [*train, *val]
    values = predict(backbone, data, rows, square_input(SIDE), compute.in_float32(), output=pooled)
    split = values.shape[1] - backbone.features
    labels, folds = data.targets[list(train)], data.folds(FOLDS)[list(train)]
    found = []
    for depth in (values[:, :split], values[:, split:]):
        known, unseen = np.split(depth.astype(np.float64), [len(train)])
        for fold in range(FOLDS):
            learned = folds != fold
            if len(np.unique(labels[learned])) < len(data.labels):
                continue
            head = fit_head(known[learned], labels[learned])
            found.append((head[0] + unseen @ head[1:]).argmax(1) != data.targets[list(val)])
    return np.array(found, bool).reshape(-1, len(val))
