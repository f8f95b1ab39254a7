"""How often two different photos are called duplicates: every pair of a set that no model of ours was trained on.

    python -m benchmarks.false_positives --data cats_dogs.tar --model exported_models/near_duplicates

Prints the count per million pairs, as `phototriage duplicates` decides (candidates by similarity, then verification,
or the manifest's threshold for a model that doesn't verify), and each pair that is called. `--random N` also verifies N
pairs drawn from all, as /v1/duplicates would if it were asked about them. Pairs that
`training.data.near_identical` takes for the same picture don't count; they are listed. A picture of the pairs that
count, to look at, goes to runs/: in a large set some do show the same scene, which only looking can tell.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from phototriage.common.errors import PhototriageError
from phototriage.common.progress import Progress
from phototriage.duplicates.nomination import nominate
from phototriage.duplicates.pairs import NearPairs, near_pairs
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.triage.comparison import decision_of
from phototriage.triage.embedder_input import embedder_input
from phototriage.triage.verified_pairs import verified_pairs
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import hardware
from training.loop.run_folder import RUNS
from training.statistics.intervals import rate

BATCH = 32
MILLION = 1e6
CELL, CAPTION, GAP, COLUMNS = 160, 18, 6, 4  # pixels; pairs in a row
MAX_PAIRS = 100  # in the picture


class Called(NamedTuple):
    """Pairs called duplicates, the most similar first: different pictures, and those known to be the same; and how
    many pairs of different pictures there are."""

    different: NearPairs
    same: NearPairs
    pairs: int


def call(near: NearPairs, groups: NDArray[np.int64]) -> Called:
    """groups (N,): the same number for pictures known to be the same."""
    order = np.argsort(-near.similarity, kind="stable")
    same = groups[near.first[order]] == groups[near.second[order]]
    sizes = np.unique(groups, return_counts=True)[1].astype(np.int64)
    count = len(groups)
    pairs = count * (count - 1) // 2 - int((sizes * (sizes - 1) // 2).sum())
    return Called(_rows(near, order[~same]), _rows(near, order[same]), pairs)


def _rows(near: NearPairs, rows: NDArray[np.int64]) -> NearPairs:
    return NearPairs(near.first[rows], near.second[rows], near.similarity[rows])


class Embedded(NamedTuple):
    """Embeddings (N, D) of all images of a set, as served, and their signatures, if the model verifies."""

    vectors: NDArray[np.float32]
    signatures: list[bytes]


def embed_all(model: Embedder, data: Dataset) -> Embedded:
    vectors, signatures = [], []
    progress = Progress(len(data))
    for start in range(0, len(data), BATCH):
        rows = range(start, min(start + BATCH, len(data)))
        inputs = [embedder_input(model, data.read(row), ImageLimits()) for row in rows]
        vectors.append(model.embed(np.stack([each.pixels for each in inputs])))
        signatures += [each.signature for each in inputs if each.signature is not None]
        progress.step(len(rows))
    return Embedded(np.concatenate(vectors), signatures)


def called_by(model: Embedder, embedded: Embedded, threads: int) -> NearPairs:
    """The pairs that `phototriage duplicates` calls."""
    rescoring, threshold = model.manifest.layout_rescoring, decision_of(model).threshold
    if model.verifier is None:
        return near_pairs(embedded.vectors, threshold, rescoring)
    nominated = nominate(embedded.vectors, rescoring)
    print(f"{len(nominated.first):,} pairs are candidates", file=sys.stderr)
    progress = Progress(None, title="verified: ", unit="pairs")
    found = verified_pairs(
        model,
        embedded.vectors,
        embedded.signatures,
        (nominated.first, nominated.second),
        model.verifier.config.threshold,
        threads,
        progress.step,
    )
    return found.pairs


def random_pairs(groups: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At most so many pairs of different pictures, drawn from all."""
    drawn = np.random.default_rng(0).integers(0, len(groups), (2, count))
    different = groups[drawn[0]] != groups[drawn[1]]
    return drawn[0][different], drawn[1][different]


def montage(data: Dataset, pairs: NearPairs, most: int = MAX_PAIRS) -> Image.Image:
    """The first pairs side by side, each under its similarity and keys, on white."""
    count = min(len(pairs.first), most)
    width, height = 2 * CELL + GAP, CELL + 2 * CAPTION + GAP
    columns, rows = min(COLUMNS, count), -(-count // COLUMNS)
    sheet = Image.new("RGB", (columns * (width + GAP), rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for place in range(count):
        left, top = place % COLUMNS * (width + GAP), place // COLUMNS * height
        numbers = (int(pairs.first[place]), int(pairs.second[place]))
        keys = "  ".join(data.records[number].key for number in numbers)
        draw.text((left, top), f"{pairs.similarity[place]:.4f}", "black", font)
        draw.text((left, top + CAPTION), keys, "black", font)
        for side, number in enumerate(numbers):
            view = ImageOps.contain(data.image(number).convert("RGB"), (CELL, CELL))
            sheet.paste(view, (left + side * CELL, top + 2 * CAPTION))
    return sheet


def listed(data: Dataset, pairs: NearPairs) -> list[str]:
    """A line a pair."""
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), strict=True)
    return [f"{value:.4f} {data.records[a].key} {data.records[b].key}" for a, b, value in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_positives", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported embedder")
    parser.add_argument("--to", type=Path, default=RUNS / "false_positives.png", help="the picture of called pairs")
    parser.add_argument("--pictured", type=int, default=MAX_PAIRS, help="pairs in the picture, the most similar first")
    parser.add_argument("--random", type=int, default=0, help="random pairs to verify besides")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args(arguments)
    try:
        data = load(given.data, labelled=False)
        settings = Settings(provider="cpu")
        model = load_embedder(given.model, settings)
        embedded = embed_all(model, data)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    names = {record.group: place for place, record in enumerate(data.records)}
    groups = np.array([names[record.group] for record in data.records], np.int64)
    config = model.manifest.verification
    bound = f"a similarity of {decision_of(model).threshold}"
    if config is not None:
        bound = f"a probability of {config.threshold}, verified"
    found = call(called_by(model, embedded, settings.threads), groups)
    figure = rate(len(found.different.first), found.pairs, MILLION)
    print(
        f"{data.name}: {len(found.different.first):,} of {found.pairs:,} pairs of different photos called duplicates, "
        f"from {bound} on: {figure.value:.3f} per million ({figure.low:.3f} to {figure.high:.3f}, pairs as independent)"
    )
    print(f"{len(data):,} photos; {hardware(torch.device('cpu'))}; onnxruntime {onnxruntime.__version__}")
    if given.random and model.verifier is not None:
        first, second = random_pairs(groups, given.random)
        same = verified_pairs(
            model,
            embedded.vectors,
            embedded.signatures,
            (first, second),
            config.threshold if config else 1,
            1,
            lambda _: None,
        )
        count = int((groups[same.pairs.first] != groups[same.pairs.second]).sum())  # equal images come unasked
        print(f"of {len(first):,} random pairs, asked about one by one, {count} are called duplicates")
    print("\n".join(["called, and counted:", *listed(data, found.different)]))
    print("\n".join(["called, and known to be the same picture:", *listed(data, found.same)]))
    if len(found.different.first):
        given.to.parent.mkdir(parents=True, exist_ok=True)
        montage(data, found.different, given.pictured).save(given.to)
        print(f"to look at: {given.to}")
    if given.json:
        record = {
            "per_million": figure._asdict(),
            "called": len(found.different.first),
            "version": model.manifest.version,
        }
        given.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
