"""A look at the images before torch is imported: to import it takes longer than to see that a small set won't do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from phototriage.common.errors import PhototriageError
from phototriage.common.file_names import printable
from training.data.loading import load

SMALL = 500  # images; to read more of them twice would take longer than torch does
TAKEN_APART = (".csv", ".tar", "")  # suffixes of sources whose images are listed at once
REFUSED = 2


def first_look(arguments: Sequence[str], check: Callable[[argparse.Namespace], None]) -> int:
    """0 where a training may start; 2, with a message, where `check` raises an error that is certain. Whatever else the
    command line holds is for the training to judge."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    for option in ("--group-by", "--val-keys", "--leave-out"):
        parser.add_argument(option)
    if "-h" in arguments or "--help" in arguments:
        return 0
    try:
        given, _ = parser.parse_known_args(arguments)
    except (argparse.ArgumentError, SystemExit):
        return 0
    if any(path.exists() and not _is_small(path) for path in given.data):
        return 0
    try:
        check(given)
    except (PhototriageError, OSError) as error:
        reason = error.detail if isinstance(error, PhototriageError) else error
        print(printable(f"error: {reason}"), file=sys.stderr)
        return REFUSED
    return 0


def classes(given: argparse.Namespace) -> None:
    """Each class has to be in each split. Raises DataError."""
    (path, *_) = given.data
    load(path, group_by=given.group_by, progress=False).require_all_classes()


def images(given: argparse.Namespace) -> None:
    """There have to be images to train on, and to validate on. Raises DataError."""
    (path, *_) = given.data
    load(path, labelled=False, group_by=given.group_by, progress=False).require_images()


def _is_small(path: Path) -> bool:
    """A file by its bytes, for each image has some; a folder by its entries."""
    if path.is_file():
        return path.suffix.lower() in TAKEN_APART and path.stat().st_size < SMALL * 100_000
    return all(count <= SMALL for count, _ in enumerate(path.rglob("*"), 1))
