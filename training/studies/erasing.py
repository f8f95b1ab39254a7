"""Does FeatOut pay? Three arms (no erasing, Random Erasing, FeatOut multi), same start, same epochs, five folds.

    python -m training.studies.erasing --data cats_dogs.tar

Every arm of a fold starts from the same head (a logistic regression on the frozen backbone) and takes the same steps;
no epoch is chosen. On the fold's held-out images: accuracy clean; with the most salient fifth of the pixels removed,
by the model's own map and by one fixed reference model's (the start, before any fine-tuning); with a random 30 % of
an 8×8 grid occluded. What is removed takes the image's mean colour, which no arm saw in training. Saliency is the
map of the predicted class. Interrupted, it goes on with the next fold and arm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from phototriage.common.atomic_writes import atomic_file
from phototriage.images.input_config import InputConfig
from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import summarise
from training.classifier.fit import Fit, FitSettings
from training.classifier.linear_probe import copy_into
from training.classifier.progress import ClassifierProgress
from training.data.batches import batches, to_pixels
from training.data.dataset import Dataset
from training.data.loading import load
from training.data.square_input import square_input
from training.featout.featout import evaluation_mode, input_gradients, smooth_maps
from training.loop.compute import Compute, hardware
from training.loop.evaluation import predict
from training.loop.run_folder import RUNS, package_versions
from training.networks.backbones import EfficientNetLite0
from training.networks.classifier import Classifier, NetworkSpec
from training.statistics.seeds import mean_and_reach
from training.statistics.tables import table as markdown
from training.studies.command import kept_json, study_parser

Arm = Literal["none", "random", "featout"]
ARMS: tuple[Arm, ...] = ("none", "random", "featout")
CONDITIONS = ("clean", "own salient fifth removed", "reference salient fifth removed", "random 30 % occluded")
FOLDS = 5
SALIENT_SHARE = 0.2
OCCLUDED_SHARE = 0.3
GRID = 8
REGRESSION_C = 0.01


@dataclass(frozen=True)
class Study:
    """What all folds and arms share."""

    data: Dataset
    rule: InputConfig
    fit: FitSettings
    compute: Compute
    folder: Path
    folds: NDArray[np.int64]
    features: NDArray[np.float32]

    def settings(self, arm: Arm) -> FitSettings:
        return self.fit.model_copy(update={"erasing": arm, "featout": FeatOutConfig() if arm == "featout" else None})

    def start(self, fold: int) -> Classifier:
        """The fold's common start: packaged backbone, head by logistic regression on the fold's training images."""
        network = pretrained(len(self.data.labels)).to(self.compute.device)
        train = self.folds != fold
        regression = LogisticRegression(C=REGRESSION_C, max_iter=1000)
        copy_into(network, regression.fit(self.features[train], self.data.targets[train]))
        return network

    def train(self, fold: int, arm: Arm) -> Classifier:
        """The fold's model of that arm after the last epoch."""
        network = self.start(fold)
        folder = self.folder / f"fold_{fold}_{arm}"
        folder.mkdir(parents=True, exist_ok=True)
        train = [int(i) for i in np.flatnonzero(self.folds != fold)]
        Fit(
            network,
            self.data,
            train,
            (),
            self.rule,
            self.settings(arm),
            compute=self.compute,
            watcher=ClassifierProgress(self.fit.epochs, folder, f"fold {fold + 1}/{FOLDS} {arm}: "),
            folder=folder,
        ).run()
        return network

    def evaluate(self, fold: int, network: Classifier, reference: Classifier) -> dict[str, Any]:
        """Right or wrong of each held-out image under each condition, and the mean spread of the saliency."""
        held_out = [int(i) for i in np.flatnonzero(self.folds == fold)]
        right: dict[str, list[int]] = {condition: [] for condition in CONDITIONS}
        spread: list[tuple[float, float]] = []
        for images, labels in batches(self.data, held_out, self.rule, batch_size=64, workers=self.compute.workers):
            start = len(right["clean"])
            pixels, labels = to_pixels(images, self.compute.device), labels.to(self.compute.device)
            maps, predicted = self._maps(network, pixels)
            reference_maps, _ = self._maps(reference, pixels)
            spread += [(one.entropy, one.gini) for one in map(summarise, maps.cpu().numpy())]
            occluded = torch.stack([occlusion(i, pixels.shape[-1]) for i in held_out[start : start + len(labels)]])
            changed = (strongest(maps), strongest(reference_maps), occluded.to(self.compute.device))
            right["clean"] += (predicted == labels).int().tolist()
            for condition, mask in zip(CONDITIONS[1:], changed, strict=True):
                right[condition] += (self._predict(network, to_mean(pixels, mask)) == labels).int().tolist()
        entropy, gini = np.mean(spread, axis=0)
        return {"right": right, "entropy": float(entropy), "gini": float(gini)}

    def _maps(self, network: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor]:
        predicted = self._predict(network, pixels)
        with self.compute.precision():
            gradients, _ = input_gradients(network, pixels, predicted)
        return smooth_maps(gradients), predicted

    def _predict(self, network: Classifier, pixels: Tensor) -> Tensor:
        with evaluation_mode(network), torch.no_grad(), self.compute.precision():
            logits: Tensor = network(pixels)
            return logits.argmax(1)

    def result(self, fold: int, arm: Arm) -> dict[str, Any]:
        """The evaluation of a fold and arm, from its file if it is there."""

        def make() -> dict[str, Any]:
            network = self.train(fold, arm)
            return self.evaluate(fold, network, self.start(fold).to(memory_format=torch.channels_last))

        result: dict[str, Any] = kept_json(self.folder / f"fold_{fold}_{arm}.json", make)
        return result


def pretrained(classes: int) -> Classifier:
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=classes))
    assert isinstance(network.backbone, EfficientNetLite0)
    network.backbone.load_packaged()
    return network


def strongest(maps: Tensor) -> Tensor:
    """(N, H, W) bool: the strongest fifth of each map's pixels."""
    flat = maps.flatten(1)
    count = round(SALIENT_SHARE * flat.shape[1])
    mask = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, flat.topk(count, dim=1).indices, value=True)
    return mask.view_as(maps)


def occlusion(index: int, size: int) -> Tensor:
    """(size, size) bool: a random 30 % of the grid's cells, the same for every arm."""
    rng = np.random.default_rng((2718, index))
    cells = np.zeros(GRID * GRID, bool)
    cells[rng.choice(GRID * GRID, round(OCCLUDED_SHARE * GRID * GRID), replace=False)] = True
    rows = np.arange(size) * GRID // size
    return torch.from_numpy(cells.reshape(GRID, GRID)[rows][:, rows])


def to_mean(pixels: Tensor, mask: Tensor) -> Tensor:
    """Pixels (N, C, H, W) with the masked ones at the image's mean colour."""
    return torch.where(mask[:, None], pixels.mean((2, 3), keepdim=True), pixels)


def table(results: dict[Arm, list[dict[str, Any]]]) -> str:
    """Markdown: accuracies in %, and FeatOut's paired difference from each other arm in points."""
    lines = []
    rows = {c: {arm: [100 * np.mean(one["right"][c]) for one in results[arm]] for arm in ARMS} for c in CONDITIONS}
    for name in ("entropy", "gini"):
        rows[f"saliency {name} × 100"] = {arm: [100 * one[name] for one in results[arm]] for arm in ARMS}
    for name, per_arm in rows.items():
        cells = [f"{np.mean(per_arm[arm]):.2f}" for arm in ARMS]
        for other in ("none", "random"):
            differences = [a - b for a, b in zip(per_arm["featout"], per_arm[other], strict=True)]
            mean, reach = mean_and_reach(differences)
            cells.append(f"{mean:+.2f} ± {reach:.2f}")
        lines.append([name, *cells])
    header = ("condition", "no erasing", "Random Erasing", "FeatOut multi", "FeatOut − none", "FeatOut − random")
    return markdown(header, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = study_parser("training.studies.erasing", __doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True)
    add("--size", type=int, default=128)
    add("--epochs", type=int, default=3)
    add("--frozen-stages", type=int, default=6)
    add("--learning-rate", "--rate", type=float, default=3e-4)
    add("--seed", type=int, default=0)
    add("--float32", action="store_true", help="in place of bfloat16")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=1)
    add("--folder", type=Path, default=RUNS / "studies" / "erasing")
    given = parser.parse_args(arguments)
    data = load(given.data)
    compute = Compute(torch.device(given.device), given.workers, bf16=not given.float32)
    rule = square_input(given.size)
    fit = FitSettings(
        epochs=given.epochs,
        learning_rate=given.learning_rate,
        frozen_stages=given.frozen_stages,
        frozen_norms=True,
        bf16=compute.bf16,
        seed=given.seed,
    )
    given.folder.mkdir(parents=True, exist_ok=True)
    values = kept_features(given.folder / "features.npy", data, rule, compute)
    study = Study(data, rule, fit, compute, given.folder, data.folds(FOLDS), values)
    results: dict[Arm, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for fold in range(FOLDS):
        for arm in ARMS:
            results[arm].append(study.result(fold, arm))
    text = (
        f"{data.name}, n = {len(data):,} in {FOLDS} folds, efficientnet_lite0 at {given.size} px, "
        f"{given.frozen_stages} of 9 stages frozen, {given.epochs} epochs, seed {given.seed}; "
        f"torch {package_versions()['torch']}, {hardware(compute.device)}. Accuracy in %, differences in points with "
        f"95 % intervals (Student's t over the folds, paired).\n\n{table(results)}\n"
    )
    (given.folder / "table.md").write_text(text)
    print(text)
    return 0


def kept_features(path: Path, data: Dataset, rule: InputConfig, compute: Compute) -> NDArray[np.float32]:
    """Frozen-backbone features of every image, from the file if an earlier run left it."""
    if not path.exists():
        network = pretrained(len(data.labels)).to(compute.device).to(memory_format=torch.channels_last)
        values = predict(network, data, range(len(data)), rule, compute, output=network.pooled)
        with atomic_file(path) as part, part.open("wb") as file:
            np.save(file, values)
    kept: NDArray[np.float32] = np.load(path)
    return kept


if __name__ == "__main__":
    sys.exit(main())
