"""CSV tables: read as text, written atomically."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from phototriage.common.csv_rows import CsvRows, TableError
from phototriage.common.file_names import printable

__all__ = ["Table", "TableError", "check_writable", "read", "write"]


@dataclass(frozen=True)
class Table:
    """Cells as text; each row has as many cells as the header, and its line in the file."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]


def read(path: Path) -> Table:
    """Read a CSV file with a header, and with a row at least. Blank lines are left out. Raises TableError."""
    try:
        with path.open("rb") as file:
            table = CsvRows(str(path), file)
            rows = list(table)
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}") from error
    return Table(table.header, [row.cells for row in rows], [row.line for row in rows])


def check_writable(path: Path) -> None:
    """Raise TableError if a table can't be written there, before the work for it begins."""
    if path.is_dir():
        raise TableError(f"{path} is a folder. Name a file to write to.")
    if not path.parent.is_dir():
        raise TableError(f"{path} can't be written: there is no folder {path.parent}. Create it.")


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file in UTF-8 under a temporary name, and rename it when it is complete; bytes of file names that
    aren't UTF-8 are escaped. Raises TableError."""
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows([printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        temporary.replace(path)
    except OSError as error:
        raise TableError(f"{path} can't be written: {error.strerror}") from error
