"""Train an autoencoder on a folder or tar of images. Where they are in classes, a part of its latent learns what small
reference networks, which haven't seen an image, say of it, so that distances to class centres tell what is hard; flat
folders need no labels.

    python -m training.autoencoder --data my_photos/ --name my_autoencoder
    python -m training.export --name my_autoencoder

Leaves runs/NAME/: run.json (figures, settings, versions), best.pt, TensorBoard logs, and for each epoch a picture of
reconstructions and a table of every train and validation image's L1, SSIM and latent (examples/, Parquet). Stopped and
started again with the same settings, it goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from phototriage.model_folder.manifest import Metric
from training.autoencoder.fit import AUGMENTATION, AutoencoderFit, Examples, View
from training.autoencoder.options import AutoencoderOptions, parse
from training.autoencoder.progress import AutoencoderProgress
from training.data.dataset import Dataset, some
from training.data.loading import load
from training.data.pixel_cache import cached_pixels
from training.data.small_copies import with_small_copies
from training.loop.command import print_skipped, run_command
from training.loop.evaluation import metric_of
from training.loop.options import compute_of, run_fields
from training.loop.run_folder import AutoencoderRun, claim_folder, refuse_finished, write_run
from training.networks.autoencoder import Autoencoder
from training.references.options import references_of
from training.sources.files import DataError, base_name
from training.sources.layouts import Split
from training.statistics.intervals import Figure

PIXELS, COPIES = "pixels.npy", "copies.npy"


def metrics_of(examples: Examples, data: Dataset, splits: Sequence[Split]) -> list[Metric]:
    """Mean L1 and SSIM of each split that has images, with the normal 95 % interval of a mean."""
    found = []
    for split in splits:
        rows = data.indices(split)
        if not len(rows):
            continue
        for name, values in (("L1 of reconstructions", examples.l1), ("SSIM of reconstructions", examples.ssim)):
            found.append(_mean(name, values[rows], data.name, split))
    return found


def _mean(name: str, values: NDArray[np.float32], photos: str, split: Split) -> Metric:
    exact = values.astype(np.float64)
    value, n = float(exact.mean()), len(exact)
    if n == 1:
        return Metric(name=name, set=photos, split=split, n=n, value=round(value, 5), interval=None)
    half = 1.96 * float(exact.std(ddof=1)) / n**0.5
    return metric_of(name, Figure(value, value - half, value + half, n), photos, split)


def _load(path: Path, options: AutoencoderOptions) -> Dataset:
    """With classes where they are there and wanted."""
    if options.fit.class_weight > 0:
        try:
            data = load(path, group_by=options.group_by)
            print(f"{data.name}: the latent learns {some(data.labels)}; not so: --classes ignored", file=sys.stderr)
            return data
        except DataError as error:  # whatever is wrong with the classes, there may be images
            print(f"{base_name(path)}: the latent learns from pixels alone. {error.detail}", file=sys.stderr)
    return load(path, group_by=options.group_by, labelled=False)


def _targets(given: argparse.Namespace, data: Dataset, options: AutoencoderOptions) -> NDArray[np.float32] | None:
    """(N, K): class probabilities of train and validation images; of others zeros. None where classes don't count."""
    if not data.labels or options.fit.class_weight == 0:
        return None
    if options.classes == "labels":
        return np.eye(len(data.labels), dtype=np.float32)[data.targets]
    train, val = ([int(row) for row in data.indices(split)] for split in ("train", "val"))
    references, seeds = references_of(given, data), range(given.seeds)
    targets = np.zeros((len(data), len(data.labels)), np.float32)
    targets[train] = references.cross_fit(train, seeds).mean(0)
    if val:
        targets[val] = references.unseen(train, val, seeds).mean(0)
    return targets


def _view(data: Dataset, options: AutoencoderOptions, folder: Path, workers: int) -> View | None:
    """Crops of small copies, if the settings augment."""
    if not options.fit.augmentation:
        return None
    copies = with_small_copies(data, options.network.size * 3 // 2, folder / COPIES, workers=workers)
    augmentation = replace(AUGMENTATION, flip=options.fit.mirrored)
    return lambda row, rng: augmentation.view(copies.image(row), options.rule, rng)


def train(given: argparse.Namespace, options: AutoencoderOptions) -> AutoencoderRun:
    """From images to a finished run folder."""
    data = _load(given.data, options)
    print_skipped(data.unreadable)
    train_rows, val_rows = ([int(row) for row in data.indices(split)] for split in ("train", "val"))
    data.require_images()
    folder: Path = given.runs / options.name
    refuse_finished(folder, restart=given.restart)
    claim_folder(folder, options.model_dump(mode="json") | {"data": data.sha256}, restart=given.restart)
    compute = compute_of(given)
    counts = ", ".join(f"{count:,} {split}" for split, count in data.counts().items())
    print(f"{data.name}: {counts}; {options.network.size} px, {compute}", file=sys.stderr)
    images = cached_pixels(data, options.rule, folder / PIXELS, workers=given.workers)
    targets = _targets(given, data, options)
    torch.manual_seed(options.fit.seed)
    network = Autoencoder(options.network)
    progress = AutoencoderProgress(options.fit.epochs, folder, network, data, images, [*train_rows, *val_rows])
    fit = AutoencoderFit(
        network,
        images,
        train_rows,
        val_rows,
        options.fit,
        compute=compute,
        watcher=progress,
        folder=folder,
        targets=targets,
        view=_view(data, options, folder, given.workers),
    )
    fit.run()
    reported: tuple[Split, ...] = ("val",) if given.skip_test else ("val", "test")
    run = AutoencoderRun(
        **run_fields(given.command, options, data, metrics_of(fit.measure(), data, reported), compute),
        network=options.network,
    )
    write_run(run, folder)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its answer is that of `run_command`."""
    given, options = parse(arguments)
    return run_command(lambda: train(given, options))
