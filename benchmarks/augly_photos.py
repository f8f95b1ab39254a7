"""The photos that AugLy's edits are tried on, and for each the one that it is most easily mistaken for.

    python -m benchmarks.augly_photos --houses house_photos.tar --caltech caltech101.tar --on val --to FOLDER

None of them trains a model: "val" are the photos that choose thresholds, "test" those of the reported figures, as in
`benchmarks.duplicate_pairs`; pages and charts are drawn, from another seed each. FOLDER gets the images as PNG,
`photos.csv` with their kind and the most similar other of their kind (by the shipped embedder), and further photos that
edits lay beside or over them. `benchmarks.augly_edits` edits them, in an environment of its own.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.duplicate_pairs import SetName, load_all, numbers_of
from phototriage.common.errors import PhototriageError
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.data.photos import Photos
from training.drawings import draw_set

On = Literal["val", "test"]

COUNT = 20
SEED = 18
SETS: Mapping[On, Mapping[str, SetName]] = {
    "val": {"room": "tune", "object": "caltech-tune"},
    "test": {"room": "test", "object": "caltech"},
}
DRAWN = ("document", "form", "slide", "bar chart", "line chart")
DRAWN_SEEDS: Mapping[On, int] = {"val": 1018, "test": 2018}
POOL = 4  # of drawn images, times as many as are taken
GROUNDS = 8  # photos that others are laid onto


class Chosen(NamedTuple):
    """An image, its kind, and the place of the most similar other of its kind among all that were chosen."""

    image: Image.Image
    kind: str
    alike: int


def choose(
    features: NDArray[np.float32], groups: NDArray[np.int64], count: int, seed: int
) -> tuple[list[int], list[int]]:
    """Places of `count` images, drawn in couples: an image, and the one of another group that is most similar to it.
    Also the place, among these, of each one's most similar of another group.

    features (n, D) of unit length, groups (n,). Raises ValueError for an odd count, and where there are not as many.
    """
    if count % 2:
        raise ValueError(f"images are chosen in couples, and {count} is odd")
    similarity = np.where(groups[:, None] == groups[None], -np.inf, features @ features.T)
    chosen: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(features)):
        if len(chosen) >= count:
            break
        free = [int(other) for other in np.argsort(-similarity[place]) if other not in chosen]
        if place not in chosen and free and similarity[place, free[0]] > -np.inf:
            chosen += [int(place), free[0]]
    if len(chosen) < count:
        raise ValueError(f"{len(chosen)} images of {len(features)} have a look-alike of another group, not {count}")
    return chosen, [int(place) for place in similarity[np.ix_(chosen, chosen)].argmax(axis=1)]


def embed(model: Embedder, image: Image.Image) -> NDArray[np.float32]:
    """(D,), of unit length, without a layout."""
    vector = model.embed(resize(whole(image), model.manifest.input).pixels[np.newaxis])[0][: model.manifest.width]
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def collect(photos: Photos, on: On, model: Embedder, count: int) -> tuple[list[Chosen], list[Image.Image]]:
    """Images of all kinds, and the photos of others that edits use. Raises DataError, ValueError."""
    found: list[Chosen] = []
    grounds: list[Image.Image] = []
    for kind, name in SETS[on].items():
        numbers = numbers_of(photos, name)
        groups = photos.groups[numbers]
        images = [photos.image(number) for number in numbers]
        chosen = _add(found, kind, images, groups, model, count)
        unused = [place for place in range(len(numbers)) if groups[place] not in groups[chosen]]
        drawn = np.random.default_rng(SEED).permutation(unused)[: GROUNDS // len(SETS[on])]
        grounds += [images[place] for place in drawn]
    for kind in DRAWN:
        images = draw_set(kind, POOL * count, DRAWN_SEEDS[on])
        _add(found, kind, images, np.arange(len(images)), model, count)
    return found, grounds


def _add(
    found: list[Chosen], kind: str, images: list[Image.Image], groups: NDArray[np.int64], model: Embedder, count: int
) -> list[int]:
    features = np.stack([embed(model, image) for image in images])
    chosen, alike = choose(features, groups, count, seed=len(found))
    before = len(found)
    found += [Chosen(images[place], kind, before + other) for place, other in zip(chosen, alike, strict=True)]
    return chosen


def write(found: Sequence[Chosen], grounds: Sequence[Image.Image], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:04}_{each.kind.replace(' ', '_')}.png" for number, each in enumerate(found)]
    with (folder / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "kind", "alike"))
        for name, each in zip(names, found, strict=True):
            each.image.save(folder / name)
            rows.writerow((name, each.kind, names[each.alike]))
    for number, ground in enumerate(grounds):
        ground.save(folder / f"ground_{number}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augly_photos", description=__doc__.split("\n")[0])
    parser.add_argument("--houses", type=Path, required=True, help="house_photos, folder or tar")
    parser.add_argument("--caltech", type=Path, required=True, help="caltech101, folder or tar")
    parser.add_argument("--on", choices=tuple(SETS), required=True)
    parser.add_argument("--count", type=int, default=COUNT, help="images of each kind")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    parser.add_argument("--to", type=Path, required=True, help="folder to write to")
    given = parser.parse_args(arguments)
    try:
        model = load_embedder(given.model, Settings(provider="cpu"))
        photos = load_all(given.houses, given.caltech)
        found, grounds = collect(photos, given.on, model, given.count)
    except (PhototriageError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write(found, grounds, given.to)
    print(f"{len(found)} images of {len({each.kind for each in found})} kinds in {given.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
