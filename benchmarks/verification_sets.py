"""Pairs that choices about verification are measured on, all of validation, and a decision fitted to each choice.

No choice is judged by the trees that ship, which were fitted to what ships: trees are fitted anew to the evidence that
it gives, and every pair is judged by those that saw no pair of its photo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold

from benchmarks.duplicate_pairs import labelled_set, published_backbone
from benchmarks.kinds.catalogue import SEEDS
from benchmarks.kinds.drawn_sets import drawings
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.pasted_sets import image_set
from benchmarks.kinds.photo_sets import grounds, turned
from benchmarks.kinds.pool import CALTECH, HOUSES, Pool
from phototriage.verification.evidence import FEATURES, verify
from phototriage.verification.signature import Signature
from training.data.photos import Photos
from training.drawings.kinds import TEMPLATES
from training.loop.compute import hardware
from training.pairs.metrics import average_precision, best_f1
from training.statistics.tables import short
from training.verification.fit import Measured, fit

ROOMS, OBJECTS, DRAWN, TURNED, PAGE = "hard, rooms", "hard, objects", "drawn", "turned", "on a page"
SEED = SEEDS["val"]
FOLDS = 5
PAGES = 2  # of grounds: a photo fills a half and a fifth of it
FEWER_TURNED, FEWER_ON_PAGES = 4, 3  # times fewer than photos; each is turned in six ways, and laid on two pages

SignatureOf = Callable[[ImageSet, int], Signature]  # of the image at that place
Column = tuple[str, ImageSet]


@dataclass(frozen=True)
class Quality:
    """Of a column: average precision and best F1 of the fitted decision."""

    precision: float
    f1: float

    def __str__(self) -> str:
        return f"{short(self.precision)} · {short(self.f1)}"


def hard_sets(photos: Photos, count: int) -> Iterator[Column]:
    """Hard reposts of at most so many photos each, and photos of the same type of room or class."""
    network = published_backbone()
    for column, names in ((ROOMS, HOUSES), (OBJECTS, CALTECH)):
        yield column, image_set(column, labelled_set(photos, names["val"], network, limit=count).hard, photos)


def drawn_sets(count: int) -> Iterator[Column]:
    """Of each kind of drawing so many images, their copies, and copies of others of the same template."""
    for found in drawings(count, SEED):
        copies: dict[int, list[int]] = {}
        for pair in found.pairs:
            if pair.same:
                copies.setdefault(pair.left, []).append(pair.right)
        if not copies:  # that is the set across kinds
            continue
        found.pairs = [pair for pair in found.pairs if pair.same]
        for original in copies:
            for other in copies:
                if other != original and other % TEMPLATES == original % TEMPLATES:
                    for copy in copies[other][:2]:
                        found.different(original, copy, "same template")
        yield DRAWN, found


def placed_sets(photos: Photos, count: int) -> Iterator[Column]:
    """Photos turned, and on plain pages."""
    pool = Pool(photos, "val", SEED)
    yield TURNED, turned(pool, max(2, count // FEWER_TURNED), SEED)
    for found in islice(grounds(pool, max(2, count // FEWER_ON_PAGES), SEED), PAGES):
        yield PAGE, found


def groups_of(images: ImageSet) -> NDArray[np.int64]:
    """(n,) of each pair, the photo of its left image: images that same pairs connect are of one."""
    ends = np.array([(pair.left, pair.right) for pair in images.pairs if pair.same], np.int64).reshape(-1, 2).T
    count = len(images.images)
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(count, count))
    photo: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return photo[[pair.left for pair in images.pairs]]


def measure(columns: Sequence[Column], signature_of: SignatureOf) -> Measured:
    """The evidence of all pairs, with signatures as they are given; `kinds` are the columns."""
    rows, same, kinds, groups = [], [], [], []
    for place, (column, images) in enumerate(columns):
        signatures = [signature_of(images, number) for number in range(len(images.images))]
        for pair in images.pairs:
            evidence = verify(signatures[pair.left], signatures[pair.right])
            rows.append(np.zeros(len(FEATURES)) if evidence is None else evidence.features())
            same.append(pair.same)
        kinds += [column] * len(images.pairs)
        groups += [f"{place} {group}" for group in groups_of(images)]
    return Measured(np.array(rows), np.array(same), np.array(kinds), np.array(groups))


def cross_validated(measured: Measured) -> NDArray[np.float64]:
    """Log-odds (n,) of each pair, by trees that were fitted to the pairs of other photos."""
    scores = np.empty(len(measured.same))
    for known, held in GroupKFold(FOLDS, shuffle=True, random_state=0).split(scores, groups=measured.groups):
        trees = fit(Measured(*(values[known] for values in vars(measured).values())))
        scores[held] = [trees.log_odds(row) for row in measured.features[held]]
    return scores


def qualities(measured: Measured) -> dict[str, Quality]:
    """By column."""
    scores = cross_validated(measured)
    found = {}
    for column in dict.fromkeys(measured.kinds.tolist()):
        rows = measured.kinds == column
        values, same = scores[rows], measured.same[rows]
        found[column] = Quality(average_precision(values, same), best_f1(values, same))
    return found


def counts(columns: Sequence[Column]) -> str:
    """How many copies and other pairs each column has."""
    found: Mapping[str, list[int]] = {column: [0, 0] for column, _ in columns}
    for column, images in columns:
        for pair in images.pairs:
            found[column][not pair.same] += 1
    return "; ".join(f"{column}: {same} copies, {other} others" for column, (same, other) in found.items())


def conditions(photos: Photos) -> str:
    """Seed, photos, hardware and versions."""
    return (
        f"Seed {SEED}, {FOLDS} folds by photo; photos {photos.sha256[:12]}; {hardware(torch.device('cpu'))}; "
        f"OpenCV {cv2.__version__}, NumPy {np.__version__}"
    )
