"""The near-duplicate table: exported models and their peers on the same pairs, each at its own threshold.

    python -m benchmarks.duplicates --houses house_photos.tar --caltech caltech101.tar --on test
        [--model exported_models/near_duplicates] [--picture docs/duplicates_pr.png] [--json FILE]

Prints Markdown: the main figures, differences from the first model (or the last peer), and every kind of pair.
Thresholds: of the best F1 on the everyday and hard pairs of the houses 101-150, and for a model also its manifest's.
`--on dev` measures on these very houses and is for development; `--on test` is what is reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.duplicate_pairs import SetName, add_sources, labelled_set, load_all, published_backbone
from benchmarks.duplicate_peers import NAMES, Codes, Peer, peers, served_models
from benchmarks.duplicate_report import Report, Result, markdown
from benchmarks.duplicate_scores import Column, Part, Truth, differences, headline, kinds, tuned_threshold
from benchmarks.duplicates_picture import save_picture
from phototriage.common.errors import PhototriageError
from training.data.photos import Photos
from training.loop.compute import hardware
from training.loop.run_folder import package_versions
from training.pairs.labelled_pairs import Pair, Shot

BATCH = 64
SETS: dict[str, tuple[SetName, SetName]] = {"dev": ("tune", "caltech-tune"), "test": ("test", "caltech")}
DIFFICULTIES = ("everyday", "hard")
Key = tuple[SetName, str]  # of a set, and how difficult its pairs are


@dataclass(frozen=True)
class Compared:
    """Every set's pairs, and each peer's similarities for them."""

    truths: dict[Key, Truth]
    similarities: dict[str, dict[Key, Any]]  # by peer

    def part(self, peer: str, key: Key) -> Part:
        return Part(self.truths[key], self.similarities[peer][key])


def compare(photos: Photos, names: Sequence[SetName], given: Sequence[Peer], limit: int | None, seed: int) -> Compared:
    """Draw each upload once and let every peer describe it."""
    truths: dict[Key, Truth] = {}
    similarities: dict[str, dict[Key, Any]] = {peer.name: {} for peer in given}
    network = published_backbone()
    for name in names:
        _tell(f"{name}: photos and their hard negatives")
        sets = labelled_set(photos, name, network, limit=limit, seed=seed)
        pairs = [*sets.everyday, *sets.hard]
        places = {shot: place for place, shot in enumerate(dict.fromkeys(_shots(pairs)))}
        codes = _describe(photos, list(places), given, name)
        for difficulty, members in zip(DIFFICULTIES, sets, strict=True):
            key: Key = (name, difficulty)
            truths[key] = Truth.of(members, photos, seed)
            left = [places[pair.left] for pair in members]
            right = [places[pair.right] for pair in members]
            for peer in given:
                rows = codes[peer.name]
                similarities[peer.name][key] = peer.similarities(rows[left], rows[right])
    return Compared(truths, similarities)


def _shots(pairs: Sequence[Pair]) -> list[Shot]:
    return [shot for pair in pairs for shot in (pair.left, pair.right)]


def _describe(photos: Photos, shots: Sequence[Shot], given: Sequence[Peer], name: str) -> dict[str, Codes]:
    """The codes of all shots, by peer."""
    found: dict[str, list[Codes]] = {peer.name: [] for peer in given}
    began = time.monotonic()
    for start in range(0, len(shots), BATCH):
        images = [shot.of(photos) for shot in shots[start : start + BATCH]]
        for peer in given:
            found[peer.name].append(peer.describe(images))
        _tell(f"{name}: {start + len(images):,} of {len(shots):,} uploads, {time.monotonic() - began:.0f} s", end="\r")
    _tell("")
    return {peer: np.concatenate(codes) for peer, codes in found.items()}


def columns(given: Sequence[Peer], compared: Compared) -> list[tuple[Peer, Column]]:
    """Each peer at its tuned threshold; a model first at the one that it comes with."""
    found = []
    for peer in given:
        tuned = tuned_threshold([compared.part(peer.name, ("tune", each)) for each in DIFFICULTIES])
        if peer.own_threshold is not None:
            found.append((peer, Column(peer.name, peer.own_threshold, "its manifest's")))
            found.append((peer, Column(f"{peer.name}, tuned here", tuned, "houses 101-150")))
        else:
            found.append((peer, Column(peer.name, tuned, "houses 101-150")))
    return found


def measure(given: Sequence[Peer], compared: Compared, on: str) -> list[Result]:
    """All figures of each column."""
    houses, caltech = SETS[on]
    results = []
    for peer, column in columns(given, compared):
        _tell(f"figures of {column.name}")
        parts = {key: compared.part(peer.name, key) for key in compared.truths}
        elsewhere = {f"Caltech-101, {each}": parts[caltech, each] for each in DIFFICULTIES}
        measured = headline(parts[houses, "everyday"], parts[houses, "hard"], elsewhere, column.threshold)
        by_kind = {
            f"{source}, {each}": kinds(parts[name, each], column.threshold)
            for source, name in (("houses", houses), ("Caltech-101", caltech))
            for each in DIFFICULTIES
        }
        results.append(Result(column, measured, by_kind))
    return results


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates", description=__doc__.split("\n")[0])
    add_sources(parser)
    parser.add_argument("--on", choices=sorted(SETS), required=True, help="test only for what is reported")
    parser.add_argument("--model", type=Path, action="append", default=[], help="folder of an exported embedder")
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=list(NAMES))
    parser.add_argument("--picture", type=Path, help="also draw precision against recall to this PNG")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument(
        "--metrics", type=Path, help="also write the first model's, for `training.export.model_folder --metrics`"
    )
    given = parser.parse_args(arguments)
    if not given.peers and not given.model:
        parser.error("nothing to measure: give a --model, or --peers")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    for path in filter(None, (given.picture, given.json, given.metrics)):
        path.parent.mkdir(parents=True, exist_ok=True)  # now, and not after the minutes that all else takes
    torch.manual_seed(given.seed)
    try:
        models = [model for folder in given.model for model in served_models(folder)]
        photos = load_all(given.houses, given.caltech)
        _tell("peers")
        others, missing = peers(given.peers, photos, given.seed)
        everyone: list[Peer] = [*others, *models]
        houses, caltech = SETS[given.on]
        compared = compare(photos, list(dict.fromkeys(("tune", houses, caltech))), everyone, given.photos, given.seed)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    results = measure(everyone, compared, given.on)
    reference = next((one for one in results if models and one.column.name == models[0].name), results[-1])
    report = Report(
        results=results,
        reference=reference.column.name,
        differences={
            one.column.name: differences(reference.measured, one.measured) for one in results if one is not reference
        },
        notes=[*_notes(given, photos, compared), *missing],
    )
    print(markdown(report))
    if given.metrics:
        metrics = [metric.model_dump(mode="json") for metric in report.metrics(photos.name, given.on)]
        given.metrics.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    if given.picture:
        # A model's curve is one, whatever its threshold: the first column of a peer marks it.
        marks = {peer.name: column.threshold for peer, column in reversed(columns(everyone, compared))}
        save_picture(
            {
                difficulty: {peer.name: compared.part(peer.name, (houses, difficulty)) for peer in everyone}
                for difficulty in DIFFICULTIES
            },
            marks,
            given.picture,
        )
    return 0


def _notes(given: argparse.Namespace, photos: Photos, compared: Compared) -> list[str]:
    """How the figures came about."""
    counts = [
        f"{name} {difficulty}: {len(truth.same):,} pairs, {int(truth.same.sum()):,} of them of one photo, "
        f"from {len(np.unique(truth.clusters)):,} photos, near-identical ones counted once"
        for (name, difficulty), truth in compared.truths.items()
    ]
    versions = package_versions() | {name: found for name in ("imagehash", "pdqhash") if (found := _version(name))}
    dev = ["Measured on the houses that thresholds were tuned on: for development only."] if given.on == "dev" else []
    return [
        *dev,
        *counts,
        "Hard negatives were chosen by the raw Lite0 backbone and by dHash, which makes them hardest for these two.",
        "Intervals of 95 %: of shares by Wilson, of all else by resampling photos, differences on the same samples. "
        "Resampling can't tell how far below 1 a value of 1 may lie.",
        f"Seed {given.seed}; photos {photos.sha256[:12]}; {hardware(torch.device('cpu'))}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items()),
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tell(text: str, end: str = "\n") -> None:
    print(text, file=sys.stderr, flush=True, end=end)


if __name__ == "__main__":
    sys.exit(main())
