"""The commands that compare many images: a folder to its groups of duplicates, a table of pairs to answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common import tables
from phototriage.common.progress import Progress
from phototriage.common.tables import Table, TableError
from phototriage.duplicates.linkage import Group, groups
from phototriage.duplicates.pairs import near_pairs_of_many, similarity
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.scoring.image_files import embed_files, find, reason
from phototriage.triage.comparison import decide, decision_of

GROUP_COLUMNS = ("group", "path", "size", "minimum_similarity")
PATH_COLUMNS = ("path_a", "path_b")
ANSWER_COLUMNS = ("duplicate", "similarity", "probability", "error")

Row = list[object]


def write_groups(folder: Path, output: Path, model: Embedder, threshold: float | None, limits: ImageLimits) -> bool:
    """Write the groups of duplicates among the images below `folder`; `threshold` takes the place of the tuned one.

    Returns whether all images could be read; the others are told on stderr. Raises TableError.
    """
    if not folder.is_dir():
        raise TableError(f"{folder} is no folder. Name the one that holds the images.")
    tables.check_writable(output)
    unread: dict[Path, str] = {}
    paths = find(folder, lambda path, error: unread.update({path: reason(error)}))
    if not paths:
        raise TableError(f"{folder} holds no images: no file ends in {', '.join(sorted(IMAGE_SUFFIXES))}.")
    embedded = embed_files(model, paths, limits, Progress(len(paths)), folder)
    unread |= {folder / path: told for path, told in embedded.failures.items()}
    for path, told in unread.items():
        print(f"phototriage: {path}: {told}", file=sys.stderr)
    limit = decision_of(model).threshold if threshold is None else threshold
    found = groups(near_pairs_of_many(embedded.vectors, limit, model.manifest.layout_rescoring))
    tables.write(output, GROUP_COLUMNS, _group_rows(found, embedded.paths))
    images = sum(len(group.members) for group in found)
    print(f"{output}: groups: {len(found)}, with {images} of {len(embedded.paths)} images")
    return not unread


def _group_rows(found: list[Group], paths: list[Path]) -> list[Row]:
    return [
        [number, paths[member].as_posix(), len(group.members), f"{group.minimum_similarity:.6f}"]
        for number, group in enumerate(found, 1)
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
    distinct = list(dict.fromkeys(path for both in files for path in both))
    embedded = embed_files(model, distinct, limits, Progress(len(distinct)))
    vectors = dict(zip(embedded.paths, embedded.vectors, strict=True))
    answers = [_answer(model, threshold, vectors, embedded.failures, both) for both in files]
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
    both: list[Path],
) -> Row:
    """The ANSWER_COLUMNS of two files."""
    told = [f"{name}: {failures[path]}" for name, path in zip(PATH_COLUMNS, both, strict=True) if path in failures]
    if told:
        return ["", "", "", "; ".join(told)]
    found = similarity(vectors[both[0]], vectors[both[1]], model.manifest.layout_rescoring)
    answer = decide(model, found, threshold)
    return [int(answer.is_duplicate), f"{answer.similarity:.6f}", f"{answer.probability:.6f}", ""]
