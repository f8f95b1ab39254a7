"""What small reference networks say of images that they have not seen: the truth that difficulty is fitted to.

Two folds: a network learns one half and answers for the other, then the halves are swapped; several random seeds, each
with halves of its own. A good classifier misses one photo in a hundred, too few to learn from; these miss hundreds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from phototriage.common.atomic_writes import atomic_file
from phototriage.images.input_config import InputConfig
from training.classifier.fit import Fit, FitSettings
from training.classifier.progress import ClassifierProgress
from training.data.dataset import Dataset
from training.data.small_copies import with_small_copies
from training.data.splits import share
from training.data.square_input import square_input
from training.loop.compute import Compute
from training.loop.evaluation import predict
from training.networks.classifier import Classifier, NetworkSpec
from training.sources.files import DataError

HALVES = 2


class ReferenceSettings(BaseModel):
    """What decides a reference network, beside the images and the random seed. It is `small_cnn`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(default=64, ge=8, multiple_of=8)
    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=3e-3, gt=0)
    bf16: bool = False

    @property
    def copies(self) -> int:
        """Side of the small copies that crops are cut from: a crop of half the area still fills the input."""
        return self.size * 3 // 2

    @property
    def rule(self) -> InputConfig:
        return square_input(self.size)

    def fit(self, seed: int) -> FitSettings:
        return FitSettings(seed=seed, **self.model_dump(exclude={"size"}))

    def identity(self) -> str:
        """By which networks are kept: with the name that the learning rate had when the first ones were."""
        return self.model_dump_json().replace('"learning_rate"', '"rate"')


def halves(data: Dataset, rows: Sequence[int], seed: int) -> NDArray[np.int64]:
    """(n,) 0 or 1 for each of `rows`: its half for that seed. Near-identical images are in one half."""
    return np.array([int(share(data.records[row].group, f"half {seed}") * HALVES) for row in rows], np.int64)


@dataclass(frozen=True)
class References:
    """Reference networks of a set, `data`, of which small copies are kept too: they learn from those, and answer for
    the images themselves. Each one's checkpoints and answers are kept in `folder` under what it learned, so that an
    interrupted call goes on where it was, and no network is trained twice."""

    data: Dataset
    settings: ReferenceSettings
    folder: Path
    compute: Compute

    def cross_fit(self, rows: Sequence[int], seeds: Sequence[int]) -> NDArray[np.float32]:
        """Probabilities (S, n, K): what a network of each seed that has not seen an image of `rows` says of it.

        Raises DataError where a half lacks a class.
        """
        found = np.zeros((len(seeds), len(rows), len(self.data.labels)), np.float32)
        for place, seed in enumerate(seeds):
            half = halves(self.data, rows, seed)
            for learned in range(HALVES):
                others = np.flatnonzero(half != learned)
                unseen = [rows[int(other)] for other in others]
                found[place, others] = self._probabilities(_of_half(rows, half, learned), unseen, seed)
        return found

    def unseen(self, train: Sequence[int], rows: Sequence[int], seeds: Sequence[int]) -> NDArray[np.float32]:
        """Probabilities (2 · S, n, K) for images `rows` that are not among `train`: of each seed both networks, each of
        which learned one half of `train`. Raises DataError where a half lacks a class."""
        found = []
        for seed in seeds:
            half = halves(self.data, train, seed)
            found += [self._probabilities(_of_half(train, half, learned), rows, seed) for learned in range(HALVES)]
        return np.stack(found)

    def _probabilities(self, learns: Sequence[int], unseen: Sequence[int], seed: int) -> NDArray[np.float32]:
        """Probabilities (n, K) of the network of that seed that learns `learns`."""
        if missing := self.data.missing_classes(learns):
            raise DataError(
                f"{self.data.name}: a half of the images that reference networks learn from has none of "
                f"{', '.join(missing)}. Add images of it; an autoencoder can do without them: --classes labels, or "
                "ignored."
            )
        identity = self._digest([f"{seed}", self.settings.identity(), *self._contents(learns)])
        folder = self.folder / f"reference_{seed}_{identity}"
        path = folder / f"answers_{self._digest(self._contents(unseen))}.npy"
        if path.exists():
            kept: NDArray[np.float32] = np.load(path)
            return kept
        folder.mkdir(parents=True, exist_ok=True)
        network = reference_network(len(self.data.labels), seed)
        copies = self.folder / f"copies_{self.settings.copies}_{self.data.sha256[:16]}.npy"
        Fit(
            network,
            with_small_copies(self.data, self.settings.copies, copies, workers=self.compute.workers),
            learns,
            [],
            self.settings.rule,
            self.settings.fit(seed),
            # Crops of small copies cost less than to hand them from process to process.
            compute=replace(self.compute, workers=0),
            watcher=ClassifierProgress(self.settings.epochs, title=f"reference {seed}, {len(learns):,} images: "),
            folder=folder,
        ).run()
        logits = predict(network, self.data, unseen, self.settings.rule, self.compute.in_float32())
        probabilities = torch.softmax(torch.from_numpy(logits), 1).numpy()
        with atomic_file(path) as part, part.open("wb") as file:
            np.save(file, probabilities)
        return probabilities

    def _contents(self, rows: Sequence[int]) -> list[str]:
        records = [self.data.records[row] for row in rows]
        return [f"{record.sha256} {record.label}" for record in records]

    @staticmethod
    def _digest(lines: Sequence[str]) -> str:
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _of_half(rows: Sequence[int], half: NDArray[np.int64], wanted: int) -> list[int]:
    return [row for row, one in zip(rows, half, strict=True) if one == wanted]


def reference_network(classes: int, seed: int) -> Classifier:
    """With its random starting weights."""
    torch.manual_seed(seed)
    return Classifier(NetworkSpec(backbone="small_cnn", classes=classes))
