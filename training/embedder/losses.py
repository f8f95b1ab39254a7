"""Losses of the embedder, over a batch and a memory of earlier batches; pytorch-metric-learning's where it has them."""

from __future__ import annotations

from typing import Literal

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import CrossBatchMemory, SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor

Stage = Literal["contrast", "triplet"]
LOSS_NAMES: dict[Stage, str] = {"contrast": "InfoNCE and entropy", "triplet": "triplet"}


class EmbeddingLoss:
    """First stage: InfoNCE over all positives of an anchor (arXiv 2004.11362) at a temperature, and an entropy term
    that spreads photos out (SSCD, arXiv 2202.10261).
    Second: triplets of cosine distance, mean(max(d(anchor, positive) − d(anchor, negative) + margin, 0)), with the
    hardest positive and negative of batch and memory for each anchor (arXiv 1703.07737, 1912.06798).
    """

    def __init__(self, dimension: int, *, memory: int, temperature: float, entropy: float, margin: float) -> None:
        self.entropy = entropy
        cosine = CosineSimilarity()
        losses = {
            "contrast": (SupConLoss(temperature=temperature), None),
            # d = 1 − cos: of two similarities the library takes the difference with the sign turned.
            "triplet": (TripletMarginLoss(margin=margin, distance=cosine), BatchHardMiner(distance=cosine)),
        }
        self._losses = {
            stage: CrossBatchMemory(loss, dimension, memory_size=memory, miner=miner)
            for stage, (loss, miner) in losses.items()
        }

    def __call__(self, stage: Stage, embeddings: Tensor, groups: Tensor) -> Tensor:
        """`embeddings` float32 (N, D) of unit length, `groups` int64 (N,): the same for views of one photo."""
        found: Tensor = self._losses[stage](embeddings, groups)
        if stage == "contrast" and self.entropy:
            found = found + self.entropy * differential_entropy_loss(embeddings, groups)
        return found

    def state(self) -> dict[str, dict[str, Tensor | int | bool]]:
        """The memories, for a checkpoint."""
        return {
            stage: {
                "embeddings": memory.embedding_memory,
                "labels": memory.label_memory,
                "next": memory.queue_idx,
                "full": memory.has_been_filled,
            }
            for stage, memory in self._losses.items()
        }

    def load(self, state: dict[str, dict[str, Tensor | int | bool]]) -> None:
        for stage, kept in state.items():
            memory = self._losses[stage]
            memory.embedding_memory, memory.label_memory = kept["embeddings"], kept["labels"]
            memory.queue_idx, memory.has_been_filled = kept["next"], kept["full"]


def differential_entropy_loss(embeddings: Tensor, groups: Tensor) -> Tensor:
    """Kozachenko–Leonenko: the mean −log distance of each embedding to the nearest of another photo."""
    similarity = embeddings @ embeddings.T
    similarity = similarity.masked_fill(groups[:, None] == groups[None], -1.0)
    nearest = similarity.max(1).values
    squared = (2 - 2 * nearest).clamp_min(1e-6)
    return -0.5 * torch.log(squared).mean()
