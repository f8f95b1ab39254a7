"""Choose the threshold of an exported embedder on labelled pairs of your own; nothing is trained.

    python -m training.tune_threshold --model my_embedder --pairs pairs.csv --aim f1|precision=0.99

pairs.csv has the columns path_a,path_b,is_same (1 or 0) and perhaps fold; paths are relative to it. Writes threshold,
calibrated probability and the record of the tuning into the model's manifest, which makes a new version. Figures are
of folds that keep photos of one group together: what is_same joins, and what looks the same.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage import duplicates
from phototriage.common.csv_rows import CsvRows, TableError
from phototriage.common.errors import PhototriageError
from phototriage.common.progress import Progress
from phototriage.images.pixels import ImageLimits, decode, resize
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import Decision
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_model
from phototriage.scoring.image_files import reason
from phototriage.settings import Settings
from training.data.near_identical import Fingerprint, find_near_identical
from training.data.splits import connect
from training.export.card import retold, rewrite_card
from training.export.model_folder import MODELS
from training.export.taking_up import taking_up
from training.loop.command import exit_status
from training.pairs.thresholds import FOLDS, TuningError, choose_folds, parse_aim, tune

BATCH = 16
SHOWN = 10  # rows in a message


@dataclass(frozen=True)
class Row:
    """A line of the table, its paths as places in the list of distinct images."""

    line: int
    left: int
    right: int
    same: bool
    fold: str | None


@dataclass(frozen=True)
class Table:
    images: tuple[Path, ...]
    rows: tuple[Row, ...]
    sha256: str

    @property
    def same(self) -> NDArray[np.bool_]:
        return np.array([row.same for row in self.rows])


def read_table(path: Path) -> Table:
    """Raises TuningError, with the lines, for missing columns, cells or files, labels other than 0 and 1, or one class;
    OSError."""
    content = path.read_bytes()
    images: dict[Path, int] = {}
    rows, unlabelled, unnamed, absent = [], [], [], []
    try:
        table = CsvRows(path.name, io.BytesIO(content), skip_spaces=True)
        *sides, same = table.places(["path_a", "path_b", "is_same"], "It needs path_a, path_b and is_same.")
        folds = table.places(["fold"], "") if "fold" in table.header else []
        for line, row in table:
            cells = [cell.strip() for cell in row]
            if cells[same] not in ("0", "1"):
                unlabelled.append(line)
            if not all(cells[side] for side in sides):
                unnamed.append(line)
            paths = [path.parent / cells[side] for side in sides]
            if not all(map(os.path.isfile, paths)):
                absent.append(line)
            left, right = (images.setdefault(each, len(images)) for each in paths)
            fold = cells[folds[0]] if folds else ""
            rows.append(Row(line, left, right, cells[same] == "1", fold or None))
    except TableError as error:
        raise TuningError(str(error)) from error
    if unnamed:
        raise TuningError(f"{path.name}: path_a or path_b is empty in {_lines(unnamed)}. Fill it in, or take it away.")
    if unlabelled:
        raise TuningError(f"{path.name}: is_same must be 1 or 0; it isn't in {_lines(unlabelled)}.")
    if absent:
        raise TuningError(f"{path.name}: a file is missing in {_lines(absent)}. Paths start from the table.")
    if len({row.same for row in rows}) < 2:
        raise TuningError(f"{path.name} has {len(rows):,} pairs of one class; a threshold needs duplicates and others.")
    return Table(tuple(images), tuple(rows), hashlib.sha256(content).hexdigest())


def measure(table: Table, model: Embedder) -> tuple[NDArray[np.float64], list[str]]:
    """Similarity (n,) of each pair, each image embedded once as it would be served, and each image's photo group.

    Raises TuningError with the lines whose image can't be read.
    """
    embeddings, prints, unreadable = [], [], {}
    waiting, progress = [], Progress(len(table.images))
    for place, path in enumerate(table.images):
        try:
            image = decode(path.read_bytes(), ImageLimits())
        except (PhototriageError, OSError) as error:
            unreadable[place] = reason(error)
            continue
        prints.append(Fingerprint.of(image))
        waiting.append(resize(image, model.manifest.input).pixels)
        if len(waiting) == BATCH or place == len(table.images) - 1:
            embeddings.append(model.embed(np.stack(waiting)))
            progress.step(len(waiting))
            waiting = []
    if unreadable:
        lines = [row.line for row in table.rows if {row.left, row.right} & unreadable.keys()]
        raise TuningError(f"An image can't be read in {_lines(lines)}: {next(iter(unreadable.values()))}")
    vectors = np.concatenate(embeddings)
    left, right = (np.array(side) for side in zip(*((row.left, row.right) for row in table.rows), strict=True))
    edges = find_near_identical(prints, near=True).edges + [(row.left, row.right) for row in table.rows if row.same]
    hashes = [one.pixels for one in prints]
    groups = [hashes[root] for root in connect(len(prints), edges)]
    return duplicates.similarities(vectors[left], vectors[right], model.manifest.layout_rescoring), groups


def folds_of(table: Table, groups: Sequence[str], count: int) -> NDArray[np.int64]:
    """(n, 2): the fold of either side, the table's own or by the group's hash.

    Raises TuningError with the lines of a photo group that the table has in two folds.
    """
    given = [row.fold for row in table.rows]
    if not any(given):
        return choose_folds([(groups[row.left], groups[row.right]) for row in table.rows], table.same, count)
    if not all(given):
        lacking = [row.line for row in table.rows if row.fold is None]
        raise TuningError(f"The column fold is empty in {_lines(lacking)}. Fill it, or leave the column out.")
    homes: dict[str, str] = {}
    strays = [
        row.line
        for row in table.rows
        for side in (row.left, row.right)
        if homes.setdefault(groups[side], row.fold or "") != row.fold
    ]
    if strays:
        raise TuningError(
            f"The same photo, or one that looks the same, is in two folds, from {_lines(sorted(set(strays)))} on. "
            "Keep the pairs of a photo in one fold, or leave the column out."
        )
    numbers = {name: number for number, name in enumerate(sorted(set(homes.values())))}
    return np.array([[numbers[row.fold or ""]] * 2 for row in table.rows])


def write(decision: Decision, folder: Path) -> str:
    """Put the decision into the folder's manifest and card. Returns the new version."""
    described = manifest.read(folder).model_copy(update={"decision": decision})
    rewrite_card(folder, lambda text: retold(text, described))
    return manifest.write(described, folder).version


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0 when written, 2 with a message when not."""
    parser = argparse.ArgumentParser(prog="python -m training.tune_threshold", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--model", required=True, help="name of an exported embedder")
    add("--pairs", type=Path, required=True, help="CSV table with path_a,path_b,is_same[,fold]")
    add("--aim", default="f1", help="f1, or precision=P: the best recall at that precision or more")
    add("--folds", type=int, default=FOLDS, help="at most, where the table has none")
    add("--models", type=Path, default=MODELS)
    given = parser.parse_args(arguments)
    folder = given.models / given.model

    def work() -> None:
        parse_aim(given.aim)
        model = load_model(folder, Settings(provider="cpu"))
        if not isinstance(model, Embedder):
            raise TuningError(f"{given.model} is a {model.manifest.kind}; only an embedder has a threshold.")
        try:
            table = read_table(given.pairs)
        except OSError as error:
            raise TuningError(f"{given.pairs} can't be read: {error.strerror}.") from error
        similarities, groups = measure(table, model)
        decision = tune(
            similarities,
            table.same,
            folds_of(table, groups, given.folds),
            given.aim,
            data=given.pairs.name,
            sha256=table.sha256,
            layout_rescoring=model.manifest.layout_rescoring,
        )
        print(f"{given.model}: threshold {decision.threshold}, version {write(decision, folder)}")
        for name in ("precision", "recall", "f1"):
            figure = getattr(decision.tuning, name)
            interval = f"[{figure.interval[0]:.4f}, {figure.interval[1]:.4f}]"
            print(f"{name} on {decision.tuning.folds} held-out folds: {figure.value:.4f} {interval}")
        print(taking_up(given.models))

    return exit_status(work, consequence="nothing was written: ", errors=(OSError,))


if __name__ == "__main__":
    sys.exit(main())
