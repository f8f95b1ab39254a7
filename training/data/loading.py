"""Images to train on: what they are, what they show, which belong together, and which split each is in.

    python -m training.data describe SOURCE [--group-by REGEX] [--json]

SOURCE is a folder, .tar or .tar.gz of `class/image` or `split/class/image`, or of images without classes for
models that need none; a folder of IDX files; a CSV table of pixels, or an archive of such tables; or a CSV
table of `path,label[,split][,group]`.

Split folders called train, val (valid, validation) and test are honoured as they are. Where there is no val,
it is cut from train by the hash rule, and where there is no test, test is too: a set with train and val
only has less to train on than its train folder holds. The rule itself is `training.data.splits.split_by_hash`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from phototriage.common.errors import PhototriageError
from phototriage.common.file_names import printable
from phototriage.common.progress import Progress
from phototriage.images.pixels import ImageLimits
from training.data import splits
from training.data.dataset import NO_LABEL, Dataset, Record, some
from training.data.description import describe
from training.data.near_identical import Fingerprint, find_near_identical
from training.sources.files import DataError
from training.sources.layouts import Entry, NoClassesError
from training.sources.source import Source, open_source

__all__ = ["NO_LABEL", "DataError", "Dataset", "NoClassesError", "Record", "load"]


def load(
    path: Path,
    *,
    labelled: bool = True,
    group_by: str | None = None,
    val: float = 0.1,
    test: float = 0.1,
    label_names: Sequence[str] | None = None,
    limits: ImageLimits | None = None,
    progress: bool = True,
) -> Dataset:
    """Reads every image once and returns the dataset. Unreadable images are listed in it, not fatal.

    labelled: False ignores classes, for an embedder or autoencoder.
    group_by: a regular expression; images whose keys match alike stay together.
    val, test: shares of the hash space.
    label_names: what the labels 0, 1, … of IDX files or of a CSV table of pixels mean.
    progress: tell it on stderr.

    Raises NoClassesError where labels are asked for and there are none, or only one, and DataError where the source is
    missing, has no readable image, or a class without a readable image. Whether each split
    has each class is for the caller to ask: `Dataset.require_all_classes`.
    """
    source = open_source(path, labelled=labelled, limits=limits or ImageLimits())
    hashes: list[str] = []
    prints: list[Fingerprint] = []
    places: list[int] = []
    unreadable = list(source.strays)
    for place, outcome in enumerate(_scan(source, progress)):
        if isinstance(outcome, str):
            unreadable.append((source.entries[place].key, outcome))
        else:
            hashes.append(outcome[0])
            prints.append(outcome[1])
            places.append(place)
    kept = [source.entries[place] for place in places]
    if not kept:
        key, reason = unreadable[-1]
        raise DataError(f"None of {len(source.entries):,} images can be read. {key}: {reason}")
    labels = _labels(source, kept) if labelled else ()
    numbers: dict[str | None, int] = {label: number for number, label in enumerate(labels)}

    near_identical = find_near_identical(prints, near=source.finds_near_identical)
    edges = near_identical.edges + splits.name_edges([entry.group for entry in kept])
    if group_by is not None:
        edges += splits.name_edges(splits.group_names([entry.key for entry in kept], group_by))
    groups = splits.groups(hashes, edges)
    assigned = splits.assign([entry.split for entry in kept], groups, val=val, test=test)

    records = tuple(
        Record(entry.key, numbers.get(entry.label, NO_LABEL), content, group, split)
        for entry, content, group, split in zip(kept, hashes, groups, assigned, strict=True)
    )
    return Dataset(
        source.name,
        tuple(map(printable, _renamed(labels, label_names))),
        records,
        tuple(sorted(unreadable)),
        near_identical,
        source,
        tuple(places),
    )


def _labels(source: Source, kept: Sequence[Entry]) -> tuple[str, ...]:
    """Sorted, numbers by value."""
    labels = {entry.label for entry in kept if entry.label is not None}
    empty = sorted(source.classes - labels)
    if empty:
        raise DataError(f"{some(empty)}: no readable image. Add images, or remove the class from {source.name}.")
    if len(labels) < 2:
        raise NoClassesError(
            f"{source.name} has the one class {some(sorted(labels))}; a classifier tells two or more apart. "
            "Add another class; an embedder or autoencoder needs none."
        )
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _renamed(labels: tuple[str, ...], names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return labels
    if labels != tuple(str(number) for number in range(len(names))):
        raise DataError(
            f"{len(names)} label names were given, so the labels must be 0 to {len(names) - 1}; "
            f"they are {some(labels)}."
        )
    return tuple(names)


def _scan(source: Source, progress: bool) -> Iterator[tuple[str, Fingerprint] | str]:
    """Content hash and fingerprint of each entry in order, or why it can't be read."""

    def examine(place: int) -> tuple[str, Fingerprint] | str:
        try:
            return source.digest(place), Fingerprint.of(source.image(place))
        except PhototriageError as error:
            return error.detail
        except OSError as error:
            return f"The file can't be read: {error.strerror or error}."
        except ValueError as error:  # a table may name a path that no system allows
            return f"The file can't be read: {error}."

    count = len(source.entries)
    lines = Progress(count, title=f"{source.name}: read ")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(examine, range(count)):
            if progress:
                lines.step(1)
            yield outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 where the source can't be used."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description="Look at a set of images.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("describe", help="classes, sizes, unreadable files, duplicates, splits")
    command.add_argument("source", type=Path, help="a folder, .tar, .tar.gz or .csv")
    command.add_argument("--group-by", metavar="REGEX", help="keep images together whose names match alike")
    command.add_argument("--val", type=float, default=0.1, help="share of val (default %(default)s)")
    command.add_argument("--test", type=float, default=0.1, help="share of test (default %(default)s)")
    command.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args(arguments)

    def open_as(labelled: bool) -> Dataset:
        path, pattern = options.source, options.group_by
        return load(path, labelled=labelled, group_by=pattern, val=options.val, test=options.test)

    notes = []
    try:
        try:
            dataset = open_as(labelled=True)
        except NoClassesError as error:
            notes.append(error.detail)
            dataset = open_as(labelled=False)
    except PhototriageError as error:
        print(printable(f"{error.title}: {error.detail}"), file=sys.stderr)
        return 2
    description = describe(dataset, notes)
    text = json.dumps(description.as_json(), indent=2) if options.json else description.as_text()
    print(printable(text))
    return 0
