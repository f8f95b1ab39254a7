"""`phototriage duplicates`: a folder to its groups of duplicates."""

from __future__ import annotations

import argparse
import math
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, tell
from phototriage.common import tables
from phototriage.common.errors import UnknownModel
from phototriage.common.progress import Progress
from phototriage.common.tables import TableError
from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.nomination import nominate
from phototriage.duplicates.pairs import NearPairs, near_pairs_of_many
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import load_models
from phototriage.scoring.image_files import Embedded, embed_files, find, reason
from phototriage.settings import Settings
from phototriage.triage.comparison import Thresholds, decision_of
from phototriage.triage.verified_pairs import verified_pairs

GROUP_COLUMNS = ("group", "path", "size", "minimum_similarity")

Row = list[object]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    duplicates = commands.add_parser("duplicates", help="write the groups of duplicates below a folder")
    duplicates.add_argument("input", type=Path, metavar="FOLDER")
    duplicates.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
    add_model_options(duplicates)
    duplicates.set_defaults(run=run)


def add_model_options(command: argparse.ArgumentParser) -> None:
    """By which model, and from where on, two images are duplicates."""
    command.add_argument("--model", help="an embedder; the default one without it")
    command.add_argument(
        "--threshold", type=_similarity, help="of the similarity, from -1 to 1, which then decides alone"
    )
    command.add_argument(
        "--min-probability", type=_probability, help="of verified pairs, from 0 to 1; the tuned one without it"
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    thresholds = Thresholds(options.threshold, options.min_probability)
    try:
        model = load_models(settings).embedder(options.model)
        whole = write_groups(options.input, options.output, model, thresholds, settings.image_limits, settings.threads)
    except (TableError, UnknownModel) as error:
        return refuse(str(error))
    return DONE if whole else FILE_FAILED


def _similarity(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and similarities go from -1 to 1")
    return value


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and probabilities go from 0 to 1")
    return value


def write_groups(
    folder: Path, output: Path, model: Embedder, thresholds: Thresholds, limits: ImageLimits, processes: int = 1
) -> bool:
    """Write the groups of duplicates among the images below `folder`.

    Returns whether all images could be read; the others are named on stderr, with the reason. Raises TableError.
    """
    if not folder.is_dir():
        raise TableError(f"{folder} is no folder. Name the one that holds the images.")
    tables.check_writable(output)
    unread: dict[Path, str] = {}
    paths = find(folder, lambda path, error: unread.update({path: reason(error)}))
    if not paths:
        raise TableError(f"{folder} holds no images: no file ends in {', '.join(sorted(IMAGE_SUFFIXES))}.")
    embedded = embed_files(model, paths, limits, Progress(len(paths)), folder)
    unread |= {folder / path: why for path, why in embedded.failures.items()}
    for path, why in unread.items():
        tell(f"{path}: {why}")
    found_groups = groups(_duplicate_pairs(model, embedded, thresholds, processes))
    tables.write(output, GROUP_COLUMNS, _group_rows(found_groups, embedded.paths))
    images = sum(len(group.members) for group in found_groups)
    print(f"{output}: groups: {len(found_groups)}, with {images} of {len(embedded.paths)} images")
    return not unread


def _duplicate_pairs(model: Embedder, embedded: Embedded, thresholds: Thresholds, processes: int) -> NearPairs:
    """By verification where the model has it, unless a threshold of the similarity is to decide alone."""
    rescoring, vectors = model.manifest.layout_rescoring, embedded.vectors
    if model.verifier is None or thresholds.similarity is not None:
        tuned = decision_of(model).threshold
        return near_pairs_of_many(vectors, tuned if thresholds.similarity is None else thresholds.similarity, rescoring)
    nominated = nominate(vectors, rescoring)
    least = model.verifier.config.threshold if thresholds.probability is None else thresholds.probability
    try:
        found = verified_pairs(
            model,
            vectors,
            embedded.signatures,
            (nominated.first, nominated.second),
            least,
            processes,
            Progress(None, title="verified: ", unit="pairs").step,
        )
    except BrokenProcessPool as error:
        raise TableError(
            "A process that compares pairs was ended, perhaps for want of memory. PHOTOTRIAGE_THREADS=1 starts none."
        ) from error
    if found.left_out:
        tell(f"{found.left_out} images look so much alike that not all of their pairs were verified")
    return found.pairs


def _group_rows(found_groups: list[Group], paths: list[Path]) -> list[Row]:
    return [
        [number, paths[member].as_posix(), len(group.members), f"{group.minimum_similarity:.6f}"]
        for number, group in enumerate(found_groups, 1)
        for member in group.members
    ]
