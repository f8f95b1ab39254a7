"""What each signal brings to the answers about an image, on validation images and on images of replicas.

    python -m benchmarks.difficulty_ablation --data cats_dogs.tar --model cats_dogs --autoencoder cats_dogs_autoencoder
        --foreign objects=caltech101.tar rooms=house_photos.tar --leave-out 'dalmatian|wild_cat|cougar|leopards'

Each row fits the answers with other signals, each answer by weights of its own. Of `p_error`: how mistakes of one
replica are found by weights from the other's, and the classifier's own by weights from both. Of `p_hard`: images that
most judges miss, by weights from the other folds. Of `p_foreign`: the photos given, by weights from drawn and mixed
images. The autoencoder's signals are added where one is given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.difficulty import add_foreign_options, foreign_kinds
from phototriage.common.errors import PhototriageError
from phototriage.difficulty import predictor
from phototriage.difficulty.signals import Floats, LatentMap, signals
from phototriage.images.upright import whole
from phototriage.model_folder import manifest
from phototriage.models.loading import load_autoencoder, load_classifier
from phototriage.settings import Settings
from phototriage.triage.assessment import concatenated, model_inputs, signal_inputs
from training.answers.answering import Photos, gather, joined, stand_in_images, values_of
from training.answers.features import FeatureReader
from training.answers.formulas import DOUBTS, STRANGE, Evidence, columns_of, fit_foreign
from training.answers.judges import FOLDS
from training.answers.monotone import regress
from training.data.loading import load
from training.loop.compute import hardware
from training.loop.options import add_compute_options, compute_of
from training.loop.run_folder import RUNS
from training.statistics import mistakes as metrics
from training.statistics.tables import table

Names = tuple[str, ...]
BATCH = 32
AUTOENCODED: Names = ("reconstruction_l1", "reconstruction_dissimilarity")


def of_errors(evidence: Evidence, names: Names) -> list[str]:
    """AUROC and AP: between replicas, and of the classifier's own mistakes."""
    replicas = [(columns_of(each.values, names), each.wrong) for each in evidence.replicas]
    if len(replicas) < 2 or not all(0 < wrong.sum() < len(wrong) for _, wrong in replicas):
        return ["–", "–"]
    found = []
    for (known, mistakes), (unseen, wrong) in (replicas, replicas[::-1]):
        sums = unseen @ regress(known, mistakes.astype(np.float64))[0]
        found.append((metrics.auroc(sums, wrong), metrics.average_precision(sums, wrong)))
    seen, wrong = (np.concatenate(column) for column in zip(*replicas, strict=True))
    own = columns_of(evidence.values, names) @ regress(seen, wrong.astype(np.float64))[0]
    cells = [", ".join(f"{value:.3f}" for value in np.mean(found, axis=0))]
    if not evidence.own.any():
        return [*cells, "–"]
    values = metrics.auroc(own, evidence.own), metrics.average_precision(own, evidence.own)
    return [*cells, ", ".join(f"{value:.3f}" for value in values)]


def of_hard(evidence: Evidence, names: Names, folds: NDArray[np.int64]) -> str:
    """AUROC and AP of images that most judges miss, by the other folds."""
    share = evidence.hardness
    columns, found = columns_of(evidence.values, names), np.zeros(len(share))
    for fold in np.unique(folds):
        rest = folds != fold
        weights, constant = regress(columns[rest], share[rest])
        found[~rest] = columns[~rest] @ weights + constant
    hard = share >= 0.5
    return f"{metrics.auroc(found, hard):.3f}, {metrics.average_precision(found, hard):.3f}" if hard.any() else "–"


def of_foreign(evidence: Evidence, names: Names, strangers: Mapping[str, Floats], folds: NDArray[np.int64]) -> str:
    """AUROC, and the share found at 1 % false, of real photos, by drawn and mixed ones and the other folds."""
    known, foreign = [], []
    for fold in np.unique(folds):
        rest = folds != fold
        part = evidence._replace(values={name: values[rest] for name, values in evidence.values.items()})
        formula = fit_foreign(part, 0.05, names)
        known.append(predictor.score(formula, {name: evidence.values[name][~rest] for name in names}))
        foreign.append(predictor.score(formula, strangers))
    # Each fold has a scale of its own: foreign photos are compared with the images of that fold.
    auroc, found = [], []
    for inside, outside in zip(known, foreign, strict=True):
        both, truth = np.concatenate([inside, outside]), np.repeat([False, True], [len(inside), len(outside)])
        auroc.append(metrics.auroc(both, truth))
        found.append(metrics.found_at(both, truth))
    return f"{np.mean(auroc):.3f}, {np.mean(found):.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.difficulty_ablation", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the set that the classifier was trained on")
    add("--model", required=True, help="name of a classifier")
    add("--autoencoder", help="name of an exported autoencoder")
    add("--models", type=Path, default=Path("exported_models"))
    add("--runs", type=Path, default=RUNS)
    add_foreign_options(parser)
    add_compute_options(parser)
    given = parser.parse_args(arguments)
    try:
        print(ablation(given))
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    print(f"\n{hardware(torch.device('cpu'))}")
    return 0


def ablation(given: argparse.Namespace) -> str:
    """A row for each choice of signals."""
    settings, folder = Settings(provider="cpu"), given.models / given.model
    described = manifest.read(folder)
    data = load(given.data, group_by=described.training.settings.get("group_by"))
    train, val = ([int(row) for row in data.indices(split)] for split in ("train", "val"))
    reader = FeatureReader.of(folder, described, settings)
    photos = Photos(data, train, val, None)
    evidence, depths, _ = gather(photos, reader, described, settings, compute_of(given), given.runs / "replicas")
    images = [image for kind in foreign_kinds(given).values() for image in kind]
    strangers = values_of(reader.read(images), depths)
    if given.autoencoder is not None:
        classifier = load_classifier(folder, settings)
        autoencoder = load_autoencoder(given.models / given.autoencoder, settings)
        latent = int(autoencoder.manifest.output("latent").shape[1])
        nowhere = LatentMap(np.eye(2, latent), np.zeros((latent + 1, len(data.labels))))

        def drawn(shown: Sequence[Image.Image]) -> dict[str, Floats]:
            parts = []
            for start in range(0, len(shown), BATCH):
                inputs = [
                    model_inputs(classifier, autoencoder, [whole(image)]) for image in shown[start : start + BATCH]
                ]
                parts.append(signal_inputs(classifier, autoencoder, concatenated(inputs)))
            found = signals(joined(parts), nowhere)
            return {name: found[name] for name in AUTOENCODED}

        evidence = evidence._replace(
            values={**evidence.values, **drawn([data.image(row) for row in val])},
            foreign={**evidence.foreign, **drawn(stand_in_images(photos))},
        )
        strangers |= drawn(images)
    folds = data.folds(FOLDS)[val]
    rows = []
    for title, changed in choices(given.autoencoder is not None):
        doubts, strange = changed
        errors = of_errors(evidence, doubts) if not set(doubts) & set(AUTOENCODED) else ["–", "–"]
        rows.append([title, *errors, of_hard(evidence, doubts, folds), of_foreign(evidence, strange, strangers, folds)])
    head = ["signals", "p_error between replicas: AUROC, AP", f"its own {evidence.own.sum()} mistakes: AUROC, AP"]
    head += ["p_hard: AUROC, AP", f"p_foreign, {len(images)} images: AUROC, found at 1 % false"]
    return table(head, rows)


def choices(autoencoded: bool) -> list[tuple[str, tuple[Names, Names]]]:
    """Titles, and the signals of both kinds."""
    found: list[tuple[str, tuple[Names, Names]]] = [("all signals", (DOUBTS, STRANGE))]
    for name in dict.fromkeys((*DOUBTS, *STRANGE)):
        left = tuple(tuple(each for each in names if each != name) for names in (DOUBTS, STRANGE))
        found.append((f"without {name}", (left[0], left[1])))
    found.append(("the margin alone", (("small_margin",), ("small_margin",))))
    if autoencoded:
        found.append(("with the autoencoder's errors", ((*DOUBTS, *AUTOENCODED), (*STRANGE, *AUTOENCODED))))
    return found


if __name__ == "__main__":
    sys.exit(main())
