"""CSV tables: read as text, written atomically. Bytes that aren't UTF-8 are preserved, as in file names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class TableError(Exception):
    """A table that can't be used. The message names the file, what is wrong and what to do about it."""


@dataclass(frozen=True)
class Table:
    """Cells as text; each row has as many cells as the header."""

    header: list[str]
    rows: list[list[str]]


def read(path: Path) -> Table:
    """Read a CSV file with a header. Blank lines are left out. Raises TableError."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = csv.reader(file, strict=True)
            rows = [(lines.line_num, row) for row in lines if row]
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from error
    except csv.Error as error:
        raise TableError(f"{path} is no CSV table: line {lines.line_num}: {error}") from error
    if len(rows) < 2:
        raise TableError(f"{path} has no rows. It needs a line of column names and one for each row below it.")
    (_, header), *content = rows
    for number, row in rows:
        if len(row) != len(header):
            raise TableError(f"{path}, line {number} has {len(row)} cells, and there are {len(header)} columns.")
        if any("\0" in cell for cell in row):
            raise TableError(f"{path}, line {number} holds a NUL character. Save the table as UTF-8 text.")
    return Table(header, [row for _, row in content])


def check_writable(path: Path) -> None:
    """Raise TableError if a table can't be written there, before the work for it begins."""
    if path.is_dir():
        raise TableError(f"{path} is a folder. Name a file to write to.")
    if not path.parent.is_dir():
        raise TableError(f"{path} can't be written: there is no folder {path.parent}. Create it.")


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file under a temporary name, and rename it when it is complete. Raises TableError."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
        temporary.replace(path)
    except OSError as error:
        raise TableError(f"{path} can't be written: {error.strerror}") from error
