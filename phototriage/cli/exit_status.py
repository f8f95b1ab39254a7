"""What a command ends with, and how it says why it can't do what it is asked."""

from __future__ import annotations

import sys

from phototriage.common.file_names import printable

DONE, FILE_FAILED, CANT_START, INTERRUPTED = 0, 1, 2, 130


def tell(message: str) -> None:
    """A line to stderr. Names of files in it may hold bytes that aren't UTF-8."""
    print(f"phototriage: {printable(message)}", file=sys.stderr)


def say(message: str) -> None:
    """A line to stdout, as `tell`."""
    print(printable(message), flush=True)


def refuse(message: str) -> int:
    """The exit status of a command that can't be done, and a line that says why."""
    tell(message)
    return CANT_START
