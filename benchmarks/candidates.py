"""How many pairs of a collection each rule nominates for verification, and which same pairs are among them.

    python -m benchmarks.duplicate_pairs --houses … --caltech … --sets tune --to PAIRS
    python -m benchmarks.candidates --pairs PAIRS/tune --photos house_photos.tar --names 'house_photos/(0|100)'

The collection is the photos of the tar whose names match (at most `--count`, drawn from a seed; none of a photo of the
pairs) and all pictures of the pairs, about five of each photo, as where much is reposted. A pair is connected if
nominated pairs of its photo lead from one picture to the other, so that verification of the rest of a group finds it.
Rows of a floor have the one at which that share is reached. Photos turned are counted by the rule that ships.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError
from phototriage.duplicates.background import FIRST, LAST, beyond_common, in_common
from phototriage.duplicates.neighbours import Neighbours, nearest
from phototriage.duplicates.nomination import Rule, nominate
from phototriage.images.pixels import ImageLimits, prepare
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.statistics.tables import table

Indices = NDArray[np.int64]
SEED = 7
BATCH = 16
SHARES = (0.98, 0.99, 0.995)
RANKS = ((1, 6), (10, 20), (FIRST, LAST))
TURNS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "a quarter": lambda pixels: np.rot90(pixels),
    "a half": lambda pixels: np.rot90(pixels, 2),
    "upside down": lambda pixels: pixels[::-1],
}


class Collection(NamedTuple):
    """Embeddings (N, D), the first `photos` of which are of photos of their own; `photo` (N,) says what is the same;
    same pairs (P, 2)."""

    embeddings: NDArray[np.float32]
    photo: Indices
    photos: int
    pairs: Indices


def read_tar(path: Path, names: str, count: int | None) -> list[bytes]:
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.isfile() and re.search(names, member.name)]
        chosen = np.random.default_rng(SEED).permutation(len(members))[:count]
        files = [tar.extractfile(members[place]) for place in sorted(chosen.tolist())]
        return [file.read() for file in files if file is not None]


def inputs(files: Sequence[bytes], model: Embedder) -> Iterator[NDArray[np.uint8]]:
    return (prepare(file, model.manifest.input, ImageLimits()).pixels for file in files)


def embed(model: Embedder, pixels: Iterator[NDArray[np.uint8]]) -> NDArray[np.float32]:
    batches = iter(lambda: list(islice(pixels, BATCH)), [])
    return np.concatenate([model.embed(np.stack(batch)) for batch in batches])


def collect(model: Embedder, photos: NDArray[np.float32], folder: Path) -> Collection:
    """The pictures' names begin with the number of their photo, as `benchmarks.duplicate_pairs` writes them."""
    with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["is_same"] == "1"]
    names = sorted(path.name for path in folder.glob("*.png"))
    place = {name: len(photos) + number for number, name in enumerate(names)}
    pictures = embed(model, inputs([(folder / name).read_bytes() for name in names], model))
    own = -1 - np.arange(len(photos))
    photo = np.concatenate([own, [int(name.split("_")[0]) for name in names]])
    pairs = np.array([[place[row["path_a"]], place[row["path_b"]]] for row in rows])
    return Collection(np.concatenate([photos, pictures]), photo, len(photos), pairs)


def connected(collection: Collection, first: Indices, second: Indices) -> float:
    """Share of the same pairs that nominated pairs of their photo connect."""
    leader = list(range(len(collection.photo)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    is_same = collection.photo[first] == collection.photo[second]
    for one, other in zip(first[is_same].tolist(), second[is_same].tolist(), strict=True):
        leader[find(one)] = find(other)
    return float(np.mean([find(one) == find(other) for one, other in collection.pairs.tolist()]))


def cells(collection: Collection, first: Indices, second: Indices) -> list[str]:
    total, photos = len(collection.photo), collection.photos
    named = np.minimum(first, second) * total + np.maximum(first, second)
    wanted = collection.pairs.min(axis=1) * total + collection.pairs.max(axis=1)
    among_photos = (first < photos) & (second < photos)
    images = len(np.unique(np.concatenate([first[among_photos], second[among_photos]])))
    return [
        f"{np.isin(wanted, named).mean():.3f}",
        f"{connected(collection, first, second):.3f}",
        f"{among_photos.sum():,} · {among_photos.sum() / photos:.2f}",
        f"{images:,}",
    ]


def rows_of(
    collection: Collection, neighbours: Neighbours, count: int, ranks: tuple[int, int] | None
) -> list[list[str]]:
    """By similarity, or by what is beyond the mean of those ranks: a row for each of SHARES."""
    near = neighbours.row[:, :count]
    row, other = np.repeat(np.arange(len(near)), count), near.ravel()
    codes = np.minimum(row, other) * len(near) + np.maximum(row, other)
    once = np.unique(codes, return_index=True)[1]
    row, other, score = row[once], other[once], neighbours.similarity[:, :count].ravel()[once]
    name = "similarity"
    if ranks is not None:
        score = beyond_common(score, in_common(neighbours.similarity, *ranks), row, other)
        name = f"beyond the mean of ranks {ranks[0] + 1} to {ranks[1]}"
    found = []
    for share in SHARES:
        floors = np.quantile(score, np.linspace(0, 1, 4097))
        low, high = 0, len(floors) - 1
        if connected(collection, row, other) < share:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            kept = score >= floors[middle]
            low, high = (middle, high) if connected(collection, row[kept], other[kept]) >= share else (low, middle)
        kept = score >= floors[low]
        found.append([f"{name}, {share}", str(count), f"{floors[low]:.3f}", *cells(collection, row[kept], other[kept])])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.candidates", description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pairs.csv and its pictures")
    parser.add_argument("--photos", type=Path, required=True, help="tar of other photos")
    parser.add_argument("--names", default="", metavar="REGEX", help="of the photos that may be taken")
    parser.add_argument("--count", type=int, help="photos at most")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    given = parser.parse_args(arguments)
    try:
        model = load_embedder(given.model, Settings(provider="cpu"))
        files = read_tar(given.photos, given.names, given.count)
        photos = embed(model, inputs(files, model))
        collection = collect(model, photos, given.pairs)
    except (PhototriageError, OSError) as error:
        print(f"error: {error.detail if isinstance(error, PhototriageError) else error}", file=sys.stderr)
        return 1
    rescoring = model.manifest.layout_rescoring
    neighbours = nearest(collection.embeddings, LAST, rescoring)
    rule = Rule()
    rows = [line for ranks in (None, *RANKS) for line in rows_of(collection, neighbours, rule.nearest, ranks)]
    found = nominate(collection.embeddings, rescoring)
    rows.append(["the rule that ships", str(rule.nearest), "", *cells(collection, found.first, found.second)])
    header = ["rule, share connected", "nearest", "floor", "same pairs: named", "connected"]
    print(table([*header, "pairs of photos · a photo", "photos in them"], rows))
    print(
        f"\n{len(photos):,} photos, {len(collection.photo) - len(photos):,} pictures, "
        f"{len(collection.pairs)} same pairs"
    )
    some = [prepare(file, model.manifest.input, ImageLimits()).pixels for file in files[:200]]
    upright, count = embed(model, iter(some)), len(some)
    for name, turn in TURNS.items():
        turned = embed(model, (np.ascontiguousarray(turn(pixels)) for pixels in some))
        found = nominate(np.concatenate([upright, turned]), rescoring)
        hits = int((found.second - found.first == count).sum())
        print(f"turned, {name}: {hits} of {count} named; others by turned layout: {found.is_turned.sum() - hits}")
    print(f"{model.name} {model.manifest.version}; numpy {np.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
