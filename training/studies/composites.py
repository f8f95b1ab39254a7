"""Do an autoencoder's losses and latents find images that are made of two? An honest version of a published benchmark.

    python -m training.studies.composites --data fashion-mnist/ --name composites [--colour grey] [--seeds 5]

For each recipe (`half`: two halves; `maximum`: the brighter pixel of two; `normalised_sum`: the published one, whose
leak shows) and each random seed an autoencoder learns train images of which `--prevalence` are composites, without
being told which; then each metric ranks images of another split, with as many. The fusions are fitted on the train
images' composites. Prints Markdown tables: AUROC, average precision and Spearman's correlation over its ceiling, mean
over the seeds with Student's 95 % interval, and beside them the best trivial feature of the pixels and the error of a
PCA. Leaves figures, histograms and a picture of the most remarkable images for each recipe in runs/NAME/, and goes on
where it was. Needs the extra `studies`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.autoencoder.fit import AutoencoderFit, AutoencoderSettings
from training.autoencoder.trajectory import Floats, Recorder, Trajectory, metrics
from training.data.composites import Composites, spearman_ceiling, trivial_features, with_composites
from training.data.dataset import Dataset
from training.data.loading import load
from training.data.pixel_cache import cached_pixels
from training.data.square_input import square_input
from training.loop.compute import Compute, use_bf16
from training.loop.run_folder import claim_folder
from training.networks.autoencoder import Autoencoder, AutoencoderSpec
from training.sources.files import DataError
from training.sources.layouts import Split
from training.statistics.seeds import mean_cell
from training.statistics.tables import table as markdown
from training.studies.command import add_folder_options, kept_json, run_study, study_parser, surroundings
from training.studies.composite_pictures import save_pictures

RECIPES = ("half", "maximum", "normalised_sum")
PREVALENCE = 0.053  # the published benchmark's
COMPONENTS = 10
LEAST_IMAGES = 20
TRIVIAL = "best trivial feature: "
FIGURES = ("AUROC", "AP", "SRCC / ceiling")

Scores = dict[str, Floats]


class Sides(NamedTuple):
    """What is learned from, and what is ranked."""

    train: Composites
    test: Composites


def draw(images: NDArray[np.uint8], data: Dataset, given: argparse.Namespace, recipe: str, seed: int) -> Sides:
    """Of each split up to so many images, drawn, with their composites."""
    rng = np.random.default_rng((seed, RECIPES.index(recipe)))
    sides = []
    ranked: Split = given.on
    wanted: tuple[tuple[Split, int], ...] = (("train", given.train_images), (ranked, given.test_images))
    for split, most in wanted:
        rows = data.indices(split)
        if len(rows) < LEAST_IMAGES:
            raise DataError(f"{data.name} has {len(rows)} images in {split}; this study takes {LEAST_IMAGES} at least.")
        rows = np.sort(rng.permutation(rows)[:most])
        sides.append(with_composites(np.asarray(images[rows]), recipe, given.prevalence, rng))  # type: ignore[arg-type]
    return Sides(*sides)


def learn(sides: Sides, given: argparse.Namespace, seed: int) -> Trajectory:
    """The trajectory of all images, those of `train` first; only these are learned from."""
    images = np.concatenate([sides.train.images, sides.test.images])
    spec = AutoencoderSpec(size=given.size, channels=images.shape[-1], latent=given.latent, width=given.width)
    settings = AutoencoderSettings(
        epochs=given.epochs,
        batch_size=128,
        augmentation=False,
        mirrored=False,
        bf16=use_bf16("auto"),
        seed=seed,
    )
    torch.manual_seed(seed)
    recorder = Recorder()
    rows = range(len(sides.train.images))
    AutoencoderFit(Autoencoder(spec), images, rows, [], settings, compute=Compute(), watcher=recorder).run()
    return recorder.trajectory()


def scores_of(sides: Sides, found: Trajectory) -> Scores:
    """Of the test images, every scorer."""
    count = len(sides.train.images)
    train, test = np.arange(count), np.arange(count, found.loss.shape[1])
    each = metrics(found, train)
    of_train, of_test = ({name: values[rows] for name, values in each.items()} for rows in (train, test))
    pca = PCA(COMPONENTS, random_state=0).fit(_flat(sides.train.images))
    own = np.stack(list(of_train.values()), axis=1), np.stack(list(of_test.values()), axis=1)
    wide = np.hstack([own[0], found.latent[train]]), np.hstack([own[1], found.latent[test]])
    return {
        **of_test,
        f"PCA error, {COMPONENTS} components": _pca_error(pca, sides.test.images),
        "fusion of the metrics": _fuse(*own, sides.train.is_composite),
        "fusion of metrics and latent": _fuse(*wide, sides.train.is_composite),
    }


def _fuse(train: Floats, test: Floats, truth: NDArray[np.bool_]) -> Floats:
    """(m,): of columns `test` (m, F), the mean log-odds by three fits on columns `train` (n, F) and their `truth` (n,):
    linear, boosted trees and a small network."""
    models = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        HistGradientBoostingClassifier(max_iter=200, learning_rate=0.06, l2_regularization=1.0, random_state=0),
        make_pipeline(
            StandardScaler(), MLPClassifier((64, 32), alpha=1e-3, early_stopping=True, max_iter=200, random_state=0)
        ),
    )
    found = np.zeros(len(test))
    for model in models:
        said = np.clip(model.fit(train, truth).predict_proba(test)[:, 1], 1e-6, 1 - 1e-6)
        found += np.log(said / (1 - said)) / len(models)
    return found


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return found


def _pca_error(pca: PCA, images: NDArray[np.uint8]) -> Floats:
    flat = _flat(images)
    again = pca.inverse_transform(pca.transform(flat))
    found: Floats = np.abs(flat - again).mean(1, dtype=np.float64)
    return found


def figures_of(score: Floats, is_composite: NDArray[np.bool_]) -> tuple[float, float, float]:
    """FIGURES of a score (n,)."""
    ceiling = spearman_ceiling(float(is_composite.mean()))
    correlation = float(spearmanr(score, is_composite).statistic) if np.ptp(score) > 0 else 0.0
    return (
        float(roc_auc_score(is_composite, score)),
        float(average_precision_score(is_composite, score)),
        correlation / ceiling,
    )


def best_trivial(side: Composites) -> tuple[str, Floats]:
    """The feature of the pixels that tells composites best, either way round: known only in hindsight, so a bound."""
    found = trivial_features(side.images)
    signed = {
        name: values * (1 if roc_auc_score(side.is_composite, values) >= 0.5 else -1) for name, values in found.items()
    }
    name = max(signed, key=lambda one: float(roc_auc_score(side.is_composite, signed[one])))
    return name, signed[name]


def measure(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Recipe → for each seed the figures of every scorer."""
    data = load(given.data, labelled=False)
    folder: Path = given.runs / given.name
    kept = ("size", "latent", "width", "colour", "epochs", "train_images", "test_images", "prevalence", "on")
    settings = {name: getattr(given, name) for name in kept} | {"data": data.sha256}
    claim_folder(folder, settings, restart=given.restart)
    rule = square_input(given.size, colour=given.colour, resize="bilinear")
    images = cached_pixels(data, rule, folder / "pixels.npy", workers=given.workers)

    def figures(recipe: str, seed: int) -> dict[str, tuple[float, float, float]]:
        print(f"{recipe}, seed {seed}", file=sys.stderr, flush=True)
        sides = draw(images, data, given, recipe, seed)
        scores = scores_of(sides, learn(sides, given, seed))
        name, trivial = best_trivial(sides.test)
        if seed == 0:
            save_pictures(scores, trivial, sides.test, folder, recipe)
        named = scores | {f"{TRIVIAL}{name}": trivial}
        return {scorer: figures_of(score, sides.test.is_composite) for scorer, score in named.items()}

    return {
        recipe: [
            kept_json(folder / f"{recipe}_{seed}.json", partial(figures, recipe, seed)) for seed in range(given.seeds)
        ]
        for recipe in given.recipes
    }


def table(rows: Sequence[Mapping[str, Sequence[float]]]) -> str:
    """Markdown; the best AUROC first."""
    # Which feature is the best may differ from seed to seed; it is one scorer all the same.
    names = sorted({name.removeprefix(TRIVIAL) for row in rows for name in row if name.startswith(TRIVIAL)})
    trivial = TRIVIAL + ", ".join(names)
    found: dict[str, list[Sequence[float]]] = {}
    for row in rows:
        for name, figures in row.items():
            found.setdefault(trivial if name.startswith(TRIVIAL) else name, []).append(figures)
    cells = [
        [name, *(mean_cell([figures[place] for figures in found[name]]) for place in range(len(FIGURES)))]
        for name in sorted(found, key=lambda name: -float(np.mean([figures[0] for figures in found[name]])))
    ]
    return markdown(["scorer", *FIGURES], cells)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = study_parser("training.studies.composites", __doc__)
    add_folder_options(parser)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="images; classes are ignored")
    add("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    add("--seeds", type=int, default=5)
    add("--prevalence", type=float, default=PREVALENCE)
    add("--size", type=int, default=32, help="side in pixels, a multiple of 16")
    add("--colour", choices=["rgb", "grey"], default="rgb")
    add("--latent", type=int, default=16)
    add("--width", type=int, default=8)
    add("--epochs", type=int, default=12)
    add("--train-images", type=int, default=12_000, help="at most, drawn, before composites")
    add("--test-images", type=int, default=5_000)
    add("--on", choices=["val", "test"], default="val", help="split that is ranked")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)

    def text() -> str:
        tables = [
            f"**{recipe}**, {given.prevalence:.1%} of the images, {len(rows)} seeds\n\n{table(rows)}\n\n"
            for recipe, rows in measure(given).items()
        ]
        ceiling = f"Ceiling of Spearman's correlation: {spearman_ceiling(given.prevalence):.4f}. {given.on} split."
        return f"{''.join(tables)}{ceiling}\n{surroundings()}"

    return run_study(text)


if __name__ == "__main__":
    sys.exit(main())
