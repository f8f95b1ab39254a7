"""`phototriage duplicates`: a folder to its groups of duplicates."""

from __future__ import annotations

import argparse
import json
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, say, tell
from phototriage.cli.folder_images import images_below, tell_unread
from phototriage.cli.model_options import add_model_options
from phototriage.common import tables
from phototriage.common.errors import UnknownModel
from phototriage.common.file_names import printable
from phototriage.common.progress import Progress
from phototriage.common.tables import TableError
from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.nomination import nominate
from phototriage.duplicates.pairs import NearPairs, near_pairs_of_many
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import load_models
from phototriage.scoring.image_files import Embedded, embed_files
from phototriage.scoring.same_files import other_names
from phototriage.settings import Settings
from phototriage.triage.comparison import Thresholds, decision_of
from phototriage.triage.verified_pairs import verified_pairs

GROUP_COLUMNS = ("group", "path", "size", "minimum_similarity", "links")
PRINTED_LINKS = 20

Row = list[object]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    duplicates = commands.add_parser("duplicates", help="write the groups of duplicates below a folder")
    duplicates.add_argument("input", type=Path, metavar="FOLDER")
    duplicates.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
    add_model_options(duplicates)
    duplicates.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    thresholds = Thresholds(options.threshold, options.min_probability)
    try:
        model = load_models(settings).embedder(options.model)
        whole = write_groups(options.input, options.output, model, thresholds, settings.image_limits, settings.threads)
    except (TableError, UnknownModel) as error:
        return refuse(str(error))
    return DONE if whole else FILE_FAILED


def write_groups(
    folder: Path, output: Path, model: Embedder, thresholds: Thresholds, limits: ImageLimits, processes: int = 1
) -> bool:
    """Write the groups of duplicates among the images below `folder`. A link, symbolic or hard, to a file that is there
    under another name is no duplicate, but told beside that one.

    Returns whether all images could be read; the others are named on stderr, with the reason. Raises TableError.
    """
    tables.check_writable(output)
    paths, unread = images_below(folder)
    names = other_names(folder, paths)
    _tell_other_names(folder, names)
    paths = [path for path in paths if path not in names]
    embedded = embed_files(model, paths, limits, Progress(len(paths)), folder)
    unread |= {folder / path: why for path, why in embedded.failures.items()}
    tell_unread(unread)
    found_groups = groups(_duplicate_pairs(model, embedded, thresholds, processes))
    tables.write(output, GROUP_COLUMNS, _group_rows(found_groups, embedded.paths, names))
    images = sum(len(group.members) for group in found_groups)
    say(f"{output}: groups: {len(found_groups)}, with {images} of {len(embedded.paths)} images")
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


def _tell_other_names(folder: Path, names: dict[Path, Path]) -> None:
    for path, of in list(names.items())[:PRINTED_LINKS]:
        tell(f"{folder / path}: another name of {folder / of}, and no copy")
    if len(names) > PRINTED_LINKS:
        tell(f"{len(names) - PRINTED_LINKS} more are other names of files that are there, and no copies")


def _group_rows(found_groups: list[Group], paths: list[Path], names: dict[Path, Path]) -> list[Row]:
    """`links` is a JSON list of the other names that a file has, empty where it has none."""
    links: dict[Path, list[str]] = {}
    for path, of in names.items():
        links.setdefault(of, []).append(printable(path.as_posix()))

    def told(path: Path) -> str:
        return json.dumps(links[path], ensure_ascii=False) if path in links else ""

    return [
        [
            number,
            paths[member].as_posix(),
            len(group.members),
            f"{group.minimum_similarity:.6f}",
            told(paths[member]),
        ]
        for number, group in enumerate(found_groups, 1)
        for member in group.members
    ]
