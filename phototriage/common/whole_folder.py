"""Folders and files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when all of it is on the disk."""
    part = place.with_name(place.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    for path in sorted(part.rglob("*")):
        sync(path)
    sync(part)
    part.rename(place)
    sync(place.parent)


@contextmanager
def whole_file(place: Path) -> Iterator[Path]:
    """A name to write a file under; it gets its own when it is written, so that no reader sees half of it."""
    part = place.with_name(place.name + PART)
    yield part
    part.replace(place)


def sync(path: Path) -> None:
    """Have what a file or folder holds on the disk, not only in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
