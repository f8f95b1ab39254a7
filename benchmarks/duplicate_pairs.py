"""The labelled pairs that near-duplicate models are measured on, drawn from a seed.

    python -m benchmarks.duplicate_pairs --houses house_photos.tar --caltech caltech101.tar --to FOLDER [--sets tune]

Four sets, none of whose photos train a model: "tune" (houses 101-150) is where peers' thresholds are chosen, "test"
(houses 151-200) is what is reported, and "caltech-tune" and "caltech" are 8 and 15 classes of Caltech-101, another
domain. Each has everyday and hard pairs, as `training.pairs` makes them. The command writes them as pictures and
`pairs.csv` (path_a, path_b, is_same, kind), to look at and for other tools; the benchmark draws them in memory.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from phototriage.common.errors import PhototriageError
from phototriage.images.input_config import InputConfig
from training.data.photos import Photos, Place, load_photos
from training.data.splits import group_names
from training.embedder.discriminant_head import labelled_pairs
from training.loop.compute import Compute
from training.networks.embedder import Embedder, EmbedderSpec
from training.pairs.labelled_pairs import PairSets, Shot
from training.sources.files import DataError

SetName = Literal["tune", "test", "caltech-tune", "caltech"]

SEED = 151
KEYS: Mapping[SetName, str] = {  # of photos, `source/…`
    "tune": r"^house_photos/(10[1-9]|1[1-4]\d|150)_",
    "test": r"^house_photos/(15[1-9]|1[6-9]\d|200)_",
    "caltech-tune": r"^caltech101/(bass|ceiling_fan|chair|crab|grand_piano|hawksbill|saxophone|starfish)/",
    "caltech": r"^caltech101/(cannon|cellphone|cougar_body|crocodile|flamingo|gerenuk|hedgehog|inline_skate|mandolin"
    r"|menorah|pagoda|pyramid|rhino|sea_horse|umbrella)/",
}
KIND_BY = r"^caltech101/([^/]+)/|_([a-z]+)\."  # hard negatives are of one class, or one type of room
# What the backbone that chooses hard negatives is fed, whatever a measured model takes.
BACKBONE_RULE = InputConfig(height=224, width=224, colour="rgb", resize="bicubic", antialias=True, aspect="stretch")


def load_all(houses: Path, caltech: Path, *, progress: bool = True) -> Photos:
    """The photos of both sources, in the places that they have when the shipped model is trained: the sets called
    tune validate, the other two are left out.

    Raises DataError as `load_photos` does.
    """
    return load_photos(
        [caltech, houses],
        val_keys=f"{KEYS['tune']}|{KEYS['caltech-tune']}",
        leave_out=f"{KEYS['test']}|{KEYS['caltech']}",
        progress=progress,
    )


def numbers_of(photos: Photos, name: SetName, limit: int | None = None) -> list[int]:
    """The photos of a set, ascending; at most `limit`, drawn. Raises DataError where there are fewer than two.

    A photo that is near-identical to one of a later split stays out, as it does in training.
    """
    place: Place = "val" if name.endswith("tune") else "left out"
    keys = re.compile(KEYS[name])
    found = [number for number in photos.numbers(place) if keys.search(photos.photos[number].key)]
    if len(found) < 2:
        raise DataError(
            f"The set {name!r} has {len(found)} photos and needs two: it takes those whose source/name fits "
            f"{KEYS[name]}. Keep the sources' names, house_photos and caltech101."
        )
    return sorted(int(number) for number in np.random.default_rng((SEED, 3)).permutation(found)[:limit])


def published_backbone() -> Embedder:
    """EfficientNet-Lite0 as it is published; its head is of no use."""
    network = Embedder(EmbedderSpec()).eval()
    network.backbone.load_packaged()
    return network


def labelled_set(
    photos: Photos, name: SetName, network: Embedder, *, limit: int | None = None, seed: int = SEED
) -> PairSets:
    """Everyday and hard pairs of a set; hard negatives by the network's backbone and by dHash. Near-identical photos
    are never called different."""
    numbers = numbers_of(photos, name, limit)
    kinds = [found or "" for found in group_names([photos.photos[number].key for number in numbers], KIND_BY)]
    place = list(KEYS).index(name)
    return labelled_pairs(network, photos, numbers, kinds, BACKBONE_RULE, Compute(), seed=seed + 10 * place)


def write_set(photos: Photos, pairs: PairSets, folder: Path) -> int:
    """Write each upload once, as PNG, and `pairs.csv` of all pairs. Returns how many pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[Shot, str] = {}
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path_a", "path_b", "is_same", "kind"))
        for difficulty, members in pairs._asdict().items():
            for pair in members:
                for shot in (pair.left, pair.right):
                    if shot not in names:
                        names[shot] = f"{shot.photo:05}_{len(names):05}.png"
                        shot.of(photos).save(folder / names[shot])
                rows.writerow((names[pair.left], names[pair.right], int(pair.same), f"{difficulty}, {pair.kind}"))
    return len(pairs.everyday) + len(pairs.hard)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The options that say where the photos are, and how many are taken."""
    parser.add_argument("--houses", type=Path, required=True, help="house_photos, folder or tar")
    parser.add_argument("--caltech", type=Path, required=True, help="caltech101, folder or tar")
    parser.add_argument("--photos", type=int, metavar="N", help="at most N photos a set, for a trial")
    parser.add_argument("--seed", type=int, default=SEED)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicate_pairs", description=__doc__.split("\n")[0])
    add_sources(parser)
    parser.add_argument("--sets", nargs="+", choices=get_args(SetName), default=list(get_args(SetName)))
    parser.add_argument("--to", type=Path, required=True, help="folder to write to, one folder a set")
    given = parser.parse_args(arguments)
    try:
        photos = load_all(given.houses, given.caltech)
        network = published_backbone()
        for name in given.sets:
            pairs = labelled_set(photos, name, network, limit=given.photos, seed=given.seed)
            print(f"{name}: {write_set(photos, pairs, given.to / name):,} pairs")
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
