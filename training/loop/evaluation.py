"""Predictions on a split, and figures with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Metric
from training.data.batches import batches, to_pixels
from training.data.dataset import Dataset
from training.featout.featout import evaluation_mode
from training.loop.compute import Compute
from training.statistics.intervals import Figure, share

BATCH = 64


def predict(
    network: nn.Module,
    data: Dataset,
    indices: Sequence[int],
    rule: InputConfig,
    compute: Compute,
    *,
    output: Callable[[Tensor], Tensor] | None = None,
) -> NDArray[np.float32]:
    """Logits (n, classes) for the records `indices`, as serving would feed them; or what `output`, another part of the
    network, gives for pixels."""
    rows = []
    with evaluation_mode(network), torch.inference_mode(), compute.precision():
        for images, _ in batches(data, indices, rule, batch_size=BATCH, workers=compute.workers):
            rows.append((output or network)(to_pixels(images, compute.device)).float().cpu().numpy())
    return np.concatenate(rows)


def accuracy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    return float((logits.argmax(1) == labels).mean())


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean −log of the probability of the true class, in nats."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(1))
    return float((log_sums - shifted[np.arange(len(labels)), labels]).mean())


def accuracy_metric(
    logits: NDArray[np.float32], labels: NDArray[np.int64], set_name: str, split: str, name: str = "accuracy"
) -> Metric:
    """Accuracy with n and Wilson's interval, to five decimals."""
    return metric_of(name, share(int((logits.argmax(1) == labels).sum()), len(labels)), set_name, split)


def metric_of(name: str, figure: Figure, set_name: str, split: str, digits: int = 5) -> Metric:
    """A figure as a manifest has it, to so many decimals."""
    return Metric(
        name=name,
        set=set_name,
        split=split,
        n=figure.n,
        value=round(figure.value, digits),
        interval=(round(figure.low, digits), round(figure.high, digits)),
    )
