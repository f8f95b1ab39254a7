"""Fit how an exported embedder's pairs are verified, on the photos that it was trained on.

    python -m training.verification --data my_photos/ --embedder my_embedder

Makes pairs of which the answer is known from train photos (reposts, turned, on pages, overlapping parts; and photos
that look alike to the embedder) and from drawn documents, screenshots, charts and line art; lays one of each pair over
the other, and fits trees to what that shows. Validation photos and other drawings choose the threshold and measure it.
Writes verification.npz, manifest and card into the embedder's folder; embeddings that were kept before stay valid.
Leaves runs/EMBEDDER_verification/ with what was measured: started again, it goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.progress import Progress
from phototriage.images.pixels import resize
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Manifest
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.verification import verifier
from phototriage.verification.config import FILE_NAME, PairKind, VerificationConfig
from phototriage.verification.evidence import FEATURES
from phototriage.verification.trees import Trees
from training.data.photos import Photos, Place, load_photos
from training.data.splits import group_names
from training.export.card import rewrite_card, with_verification
from training.export.model_folder import MODELS
from training.export.taking_up import taking_up
from training.loop.command import exit_status, print_skipped
from training.loop.options import recorded_command
from training.loop.run_folder import RUNS
from training.pairs.metrics import best_threshold
from training.pairs.thresholds import parse_aim
from training.sources.files import DataError
from training.verification.calibration import calibration_error
from training.verification.fit import Measured, fit, measure
from training.verification.pairs import PhotoPairs, SignedPair, drawn_pairs, near_of

DRAWN_SETS = {"train": 10, "val": 4}
DRAWN_SEED = {"train": 100, "val": 7000}  # benchmarks have others


def chosen_photos(photos: Photos, place: Place, most: int, seed: int) -> list[int]:
    """At most so many photos of a place, as evenly from all sources as can be."""
    rng = np.random.default_rng((seed, 5))
    numbers = [int(number) for number in rng.permutation(photos.numbers(place))]
    turn: dict[int, int] = {}
    ranks = {}
    for number in numbers:
        source = photos.photos[number].source
        ranks[number] = turn[source] = turn.get(source, 0) + 1
    return sorted(sorted(numbers, key=lambda number: ranks[number])[:most])


def labelled(photos: Photos, place: Place, given: argparse.Namespace, model: Embedder) -> list[SignedPair]:
    """All pairs of a place."""
    numbers = chosen_photos(photos, place, given.photos if place == "train" else given.val_photos, given.seed)
    if len(numbers) < 2:
        raise DataError(f"There are {len(numbers)} {place} photos, and two are needed. Give more photos.")
    kinds = [""] * len(numbers)
    if given.kind_by is not None:
        kinds = [name or "" for name in group_names([photos.photos[number].key for number in numbers], given.kind_by)]
    embeddings = np.concatenate(
        [model.forward(resize(photos.image(number), model.manifest.input).pixels[np.newaxis]) for number in numbers]
    )
    pairs = PhotoPairs(photos, numbers, near_of(embeddings, numbers, photos, kinds), given.seed)
    return [*_counted(pairs, f"{place} photos"), *_counted(_drawn(place, given), f"{place} drawings")]


def _drawn(place: Place, given: argparse.Namespace) -> Sequence[SignedPair]:
    sets = 1 if given.quick else DRAWN_SETS[place]
    return list(drawn_pairs(sets, DRAWN_SEED[place] + given.seed))


def _counted(pairs: PhotoPairs | Sequence[SignedPair], title: str) -> list[SignedPair]:
    progress, found = Progress(None, title=f"{title}: "), []
    for pair in pairs:
        found.append(pair)
        progress.step(1)
    return found


def measured(photos: Photos, place: Place, given: argparse.Namespace, model: Embedder, folder: Path) -> Measured:
    """What verification sees of a place's pairs; read again from the run's folder if it was measured there before."""
    settings = {name: str(getattr(given, name)) for name in ("photos", "val_photos", "kind_by", "seed", "quick")}
    settings |= {
        "data": photos.sha256,
        "embedder": model.manifest.files[manifest.MODEL_FILE],
        "features": " ".join(FEATURES),
    }
    places = {number: photo.place for number, photo in enumerate(photos.photos)}
    key = hashlib.sha256(json.dumps([settings, places]).encode()).hexdigest()
    path = folder / f"{place}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                print(f"{path}: measured before", file=sys.stderr)
                return Measured(file["features"], file["same"], file["kinds"], file["groups"])
    pairs = labelled(photos, place, given, model)
    progress = Progress(len(pairs), title=f"verifying {place} pairs: ")
    found = measure(pairs, progress.step, given.workers)
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, key=np.array(key), **vars(found))
    return found


def held_out(probabilities: NDArray[np.float64], seen: Measured, threshold: float) -> tuple[PairKind, ...]:
    """How good the decision is on pairs (n,) that didn't fit the trees, by kind."""
    kinds = []
    for kind in dict.fromkeys(seen.kinds.tolist()):
        of_kind = seen.kinds == kind
        called, same = probabilities[of_kind] >= threshold, seen.same[of_kind]
        copies, others = int(same.sum()), int((~same).sum())
        kinds.append(
            PairKind(
                kind=kind,
                copies=copies,
                others=others,
                missed=round(float((~called & same).sum() / max(copies, 1)), 5),
                false=round(float((called & ~same).sum() / max(others, 1)), 5),
            )
        )
    return tuple(kinds)


def probabilities_of(trees: Trees, seen: Measured) -> NDArray[np.float64]:
    return np.array([verifier.logistic(trees.log_odds(row)) for row in seen.features])


def fit_verification(given: argparse.Namespace) -> Manifest:
    """From photos and an embedder to a written verification. Returns the embedder's new manifest."""
    precision = parse_aim(given.aim)
    model = load_embedder(given.models / given.embedder, Settings(provider="cpu"))
    photos = load_photos(given.data, group_by=given.group_by, val_keys=given.val_keys, leave_out=given.leave_out)
    print_skipped(photos.unreadable)
    folder = given.runs / f"{given.embedder}_verification"
    folder.mkdir(parents=True, exist_ok=True)
    train, val = (measured(photos, place, given, model, folder) for place in ("train", "val"))
    trees = fit(train)
    probabilities = probabilities_of(trees, val)
    threshold = round(best_threshold(probabilities, val.same, precision), 5)
    config = VerificationConfig(
        threshold=threshold,
        prior=round(float(train.same.mean()), 5),
        features=FEATURES,
        pairs=len(train.same),
        data=photos.name,
        sha256=photos.sha256,
        command=given.command,
        calibration_error=round(calibration_error(probabilities, val.same), 5),
        held_out=held_out(probabilities, val, threshold),
    )
    return write_verification(config, trees, given.models / given.embedder)


def write_verification(config: VerificationConfig, trees: Trees, folder: Path) -> Manifest:
    """Put a verification into an embedder's folder: the file, the card, and last the manifest."""
    described = manifest.read(folder)
    same = dict.fromkeys([*described.same_embeddings_as, described.version])
    described = described.model_copy(update={"verification": config, "same_embeddings_as": tuple(same)})
    # File and manifest belong together, so one comes right behind the other.
    verifier.write(trees, folder)
    files = described.files | {FILE_NAME: manifest.sha256_of(folder / FILE_NAME)}
    written = manifest.write(described.model_copy(update={"files": files}), folder)
    rewrite_card(folder, lambda text: with_verification(text, written))
    return written


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.verification", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, help="folders or tars of photos; classes are ignored")
    add("--embedder", required=True, help="name of an exported embedder")
    add("--group-by", metavar="REGEX", help="photos whose names give the same match are never called different")
    add("--val-keys", metavar="REGEX", help="validate on photos whose source/name matches (default: a tenth, by hash)")
    add("--leave-out", metavar="REGEX", help="photos whose source/name matches take no part: a test set of your own")
    add("--kind-by", metavar="REGEX", help="photos that look alike give the same match, such as a type of room")
    add("--photos", type=int, default=500, help="train photos, at most so many, drawn evenly from all sources")
    add("--val-photos", type=int, default=300, help="validation photos, at most so many")
    add("--aim", default="f1", help="of the threshold: f1, or precision=P")
    add("--seed", type=int, default=0)
    add("--workers", type=int, default=Settings().threads, help="processes that verify pairs (default: one a core)")
    add("--quick", action="store_true", help="one set of drawings: minutes less")
    add("--models", type=Path, default=MODELS)
    add("--runs", type=Path, default=RUNS)
    given = parser.parse_args(arguments)
    given.command = recorded_command(parser.prog, sys.argv[1:] if arguments is None else arguments, given.data)
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 2 with a message when not, 130 when interrupted."""
    given = parse(arguments)

    def work() -> None:
        written = fit_verification(given)
        config = written.verification
        assert config is not None
        for kind in config.held_out:
            missed = f"{kind.copies} copies, missed {kind.missed:.1%}"
            print(f"{kind.kind}: {missed}; {kind.others} others, called duplicates {kind.false:.2%}")
        print(f"{written.name}: version {written.version}; duplicates from a probability of {config.threshold}")
        print(taking_up(given.models))

    return exit_status(work, consequence="nothing was written: ", goes_on="what was measured")
