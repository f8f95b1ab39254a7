"""The commands that compare many images: `phototriage duplicates`, a folder to its groups of duplicates, and
`phototriage compare`, a table of pairs to answers."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.cli.exit_status import DONE, FILE_FAILED, refuse, tell
from phototriage.common import tables
from phototriage.common.errors import UnknownModel
from phototriage.common.progress import Progress
from phototriage.common.tables import Table, TableError
from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.pairs import near_pairs_of_many, similarity
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import load_models
from phototriage.scoring.image_files import embed_files, find, reason
from phototriage.settings import Settings
from phototriage.triage.comparison import decide, decision_of

GROUP_COLUMNS = ("group", "path", "size", "minimum_similarity")
PATH_COLUMNS = ("path_a", "path_b")
ANSWER_COLUMNS = ("duplicate", "similarity", "probability", "error")

Row = list[object]
Write = Callable[[Path, Path, Embedder, float | None, ImageLimits], bool]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Their options, among those of the other commands."""
    duplicates = commands.add_parser("duplicates", help="write the groups of duplicates below a folder")
    duplicates.add_argument("input", type=Path, metavar="FOLDER")
    duplicates.set_defaults(run=run, write=write_groups)
    compare = commands.add_parser("compare", help="write for each pair of images whether they are duplicates")
    compare.add_argument("input", type=Path, metavar="PAIRS.csv", help="with columns path_a and path_b")
    compare.set_defaults(run=run, write=write_answers)
    for command in (duplicates, compare):
        command.add_argument("-o", "--output", type=Path, required=True, metavar="CSV")
        command.add_argument("--threshold", type=_similarity, help="from -1 to 1; the tuned one without it")
        command.add_argument("--model", help="an embedder; the default one without it")


def run(options: argparse.Namespace, settings: Settings) -> int:
    write: Write = options.write
    try:
        model = load_models(settings).embedder(options.model)
        whole = write(options.input, options.output, model, options.threshold, settings.image_limits)
    except (TableError, UnknownModel) as error:
        return refuse(str(error))
    return DONE if whole else FILE_FAILED


def _similarity(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and similarities go from -1 to 1")
    return value


def write_groups(folder: Path, output: Path, model: Embedder, threshold: float | None, limits: ImageLimits) -> bool:
    """Write the groups of duplicates among the images below `folder`; `threshold` takes the place of the tuned one.

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
    least = decision_of(model).threshold if threshold is None else threshold
    found_groups = groups(near_pairs_of_many(embedded.vectors, least, model.manifest.layout_rescoring))
    tables.write(output, GROUP_COLUMNS, _group_rows(found_groups, embedded.paths))
    images = sum(len(group.members) for group in found_groups)
    print(f"{output}: groups: {len(found_groups)}, with {images} of {len(embedded.paths)} images")
    return not unread


def _group_rows(found_groups: list[Group], paths: list[Path]) -> list[Row]:
    return [
        [number, paths[member].as_posix(), len(group.members), f"{group.minimum_similarity:.6f}"]
        for number, group in enumerate(found_groups, 1)
        for member in group.members
    ]


def write_answers(pairs: Path, output: Path, model: Embedder, threshold: float | None, limits: ImageLimits) -> bool:
    """Write a table of pairs with an answer in each row; `threshold` takes the place of the tuned one.

    Paths that are relative start at the table's folder. Each file is embedded once, however often it is named.
    Returns whether all could be read; where not, `error` says why. Raises TableError.
    """
    tables.check_writable(output)
    table = tables.read(pairs)
    columns = _path_columns(table, pairs)
    files = [[Path(os.path.realpath(pairs.parent / row[column])) for column in columns] for row in table.rows]
    distinct = list(dict.fromkeys(path for pair in files for path in pair))
    embedded = embed_files(model, distinct, limits, Progress(len(distinct)))
    vectors = dict(zip(embedded.paths, embedded.vectors, strict=True))
    answers = [_answer(model, threshold, vectors, embedded.failures, pair) for pair in files]
    rows = [[*row, *answer] for row, answer in zip(table.rows, answers, strict=True)]
    tables.write(output, [*table.header, *ANSWER_COLUMNS], rows)
    duplicates, failed = sum(row[0] == 1 for row in answers), sum(row[0] == "" for row in answers)
    print(f"{output}: pairs: {len(rows)}, of {len(distinct)} images; duplicates: {duplicates}; errors: {failed}")
    return not failed


def _path_columns(table: Table, pairs: Path) -> list[int]:
    """Where the paths stand. Raises TableError if they don't, or if a column of the answer's is taken."""
    for name in PATH_COLUMNS:
        if table.header.count(name) != 1:
            raise TableError(
                f"{pairs} has {table.header.count(name)} columns called {name}, of {', '.join(table.header)[:200]}. "
                f"It needs one {' and one '.join(PATH_COLUMNS)}, separated by commas."
            )
    for name in ANSWER_COLUMNS:
        if name in table.header:
            raise TableError(f"{pairs} has a column called {name}, which is to be written. Rename or remove it.")
    return [table.header.index(name) for name in PATH_COLUMNS]


def _answer(
    model: Embedder,
    threshold: float | None,
    vectors: Mapping[Path, NDArray[np.float32]],
    failures: Mapping[Path, str],
    pair: list[Path],
) -> Row:
    """The ANSWER_COLUMNS of two files."""
    errors = [f"{name}: {failures[path]}" for name, path in zip(PATH_COLUMNS, pair, strict=True) if path in failures]
    if errors:
        return ["", "", "", "; ".join(errors)]
    found_similarity = similarity(vectors[pair[0]], vectors[pair[1]], model.manifest.layout_rescoring)
    answer = decide(model, found_similarity, threshold)
    return [int(answer.is_duplicate), f"{answer.similarity:.6f}", f"{answer.probability:.6f}", ""]
