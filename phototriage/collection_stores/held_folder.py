"""A folder that one process keeps: the lock of it, and what is said where it can't be read or written."""

from __future__ import annotations

import fcntl
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from phototriage.common.errors import StoreUnavailable

HELD = ".lock"
LET_GO = 0.1  # seconds between attempts to hold a folder


def hold(folder: Path, seconds: float = 0) -> IO[str]:
    """Hold the folder until the file is closed or the process ends; wait so long for another process to let go of it.
    Raises StoreUnavailable."""
    end = monotonic() + seconds
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / HELD).open("a+", encoding="ascii")
    except OSError as error:
        raise unavailable(folder, error) from error
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError as error:
            if monotonic() < end:
                sleep(LET_GO)
                continue
            file.close()
            raise StoreUnavailable(
                f"{folder.name!r} is kept by another process. Stop that one, or name another folder; several servers "
                "can't share one."
            ) from error


def unavailable(folder: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"The collection {folder.name!r} can't be kept or read now ({error.strerror}). See to the disk, or try again "
        "later."
    )
