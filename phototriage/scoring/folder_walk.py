"""What lies below a folder: image files by their names, folders that can't be read, and what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from phototriage.common.file_names import printable
from phototriage.images.pixels import IMAGE_SUFFIXES

SHOWN_SUFFIXES = 8


class Found(NamedTuple):
    """An image file by its name, which may prove to be none; or a folder that can't be read, whose name ends in a
    slash, and why not. Names are those below the folder, as the system has them."""

    name: str
    problem: OSError | None = None


@dataclass
class PassedOver:
    """How much of a source is no image by its name, by suffix, and how many links lead to folders, which aren't
    followed. Hidden files and folders aren't counted."""

    suffixes: Counter[str] = field(default_factory=Counter)
    linked_folders: int = 0

    def add(self, name: str) -> None:
        """A file that isn't called as images are."""
        self.suffixes[printable(PurePosixPath(name).suffix.lower()) or "without a suffix"] += 1

    def clear(self) -> None:
        self.suffixes.clear()
        self.linked_folders = 0

    def told(self) -> list[str]:
        """In words: a line for each kind, of which there are some."""
        lines = []
        if self.suffixes:
            ordered = sorted(self.suffixes.items(), key=lambda item: (-item[1], item[0]))
            most = ", ".join(f"{count} {suffix}" for suffix, count in ordered[:SHOWN_SUFFIXES])
            more = ", …" if len(self.suffixes) > SHOWN_SUFFIXES else ""
            lines.append(f"passed over, not called as images are: {self.suffixes.total()} files ({most}{more})")
        if self.linked_folders:
            lines.append(f"passed over, links to folders: {self.linked_folders}")
        return lines


def is_image_name(name: str) -> bool:
    """Whether a file is an image by its suffix."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def walk(folder: Path, passed_over: PassedOver | None = None) -> Iterator[Found]:
    """Image files at any depth, by their suffix, in the order of their names; what else is there is counted in
    `passed_over`. Raises OSError where the folder itself can't be read.

    Hidden files and folders are left out, links to folders are not followed. Only the entries of one level are in
    memory at a time.
    """
    return _walk(folder, "", PassedOver() if passed_over is None else passed_over)


def find(folder: Path, report: Callable[[Path, OSError], None], passed_over: PassedOver | None = None) -> list[Path]:
    """Image files at any depth below `folder`, as `walk` finds them: paths relative to it, in the order of their names.

    `report` is called for each folder that can't be read. `passed_over` counts what else is there.
    """
    paths = []
    try:
        for name, problem in walk(folder, passed_over):
            if problem is None:
                paths.append(Path(name))
            else:
                report(folder / name, problem)
    except OSError as error:
        report(folder, error)
    return paths


def _walk(folder: Path, below: str, passed_over: PassedOver) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(name for entry in entries if (name := _entry_name(entry, passed_over)) is not None)
    except OSError as error:
        if not below:
            raise
        yield Found(below, error)
        return
    for name in names:
        if name.endswith("/"):
            yield from _walk(folder / name, below + name, passed_over)
        else:
            yield Found(below + name)


def _entry_name(entry: os.DirEntry[str], passed_over: PassedOver) -> str | None:
    """The name of an image file, the name of a folder with a slash appended, or None for any other entry."""
    if entry.name.startswith("."):
        return None
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link in a circle, or to where access is denied: reading it will fail
        is_folder = False
    if is_folder:
        if not entry.is_symlink():
            return entry.name + "/"
        passed_over.linked_folders += 1
    elif is_image_name(entry.name):
        return entry.name
    else:
        passed_over.add(entry.name)
    return None
