"""Folders and files that are written atomically: completely or not at all, whatever ends the process that writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"  # suffix of a folder or file that is being written


@contextmanager
def atomic_folder(place: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; at the end it is synced to disk and renamed to `place`."""
    temporary = place.with_name(place.name + PART)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    for path in sorted(temporary.rglob("*")):
        sync(path)
    sync(temporary)
    temporary.rename(place)
    sync(place.parent)


@contextmanager
def atomic_file(place: Path) -> Iterator[Path]:
    """Give a temporary name to write a file under; at the end it is renamed to `place`, so that no reader sees half."""
    temporary = place.with_name(place.name + PART)
    yield temporary
    temporary.replace(place)


def sync(path: Path) -> None:
    """Flush a file or folder to disk (fsync). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
