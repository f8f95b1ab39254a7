"""Lists of paths: the lines of a text file, or a column of a CSV or Parquet table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from phototriage.scoring.image_references import ImageReference, Item, Unreadable

TABLES = (".csv", ".parquet")
LISTS = (".txt", ".lst")
DEFAULT_COLUMN = "path"
ROWS_AT_ONCE = 1024
_BOM = "\ufeff"


class SourceError(Exception):
    """A source that can't be read. The message names it, what is wrong and what to do about it."""


def read_list(
    name: str,
    suffix: str,
    column: str | None,
    make_reference: Callable[[str], ImageReference],
    open_file: Callable[[], IO[bytes]],
) -> Iterator[Item]:
    """The lines of a list, or the cells of a table's column, in their order, as items; blank lines are left out.

    name: of the source, for messages. suffix: one of LISTS or TABLES. column: DEFAULT_COLUMN without it.
    make_reference: makes a reference from a path. Raises SourceError, OSError, csv.Error, UnicodeDecodeError.
    """
    cells: Callable[[IO[bytes]], Iterable[str]]
    if suffix in LISTS:
        cells = _list_cells
    elif suffix == ".csv":
        cells = lambda file: _csv_cells(name, file, column or DEFAULT_COLUMN)  # noqa: E731
    else:
        cells = lambda file: _parquet_cells(name, file, column or DEFAULT_COLUMN)  # noqa: E731
    with open_file() as file:
        for cell in cells(file):
            yield Item(cell, make_reference(cell) if cell.strip() else Unreadable("The table names no file here."))


def _list_cells(file: IO[bytes]) -> Iterator[str]:
    for line in file:
        cell = line.decode().rstrip("\r\n").removeprefix(_BOM)
        if cell.strip():
            yield cell


def _csv_cells(name: str, file: IO[bytes], column: str) -> Iterator[str]:
    rows = csv.DictReader((line.decode() for line in _without_bom(file)), strict=True)
    if column not in (rows.fieldnames or ()):
        raise SourceError(_no_column(name, column, rows.fieldnames or ()))
    for row in rows:
        yield row[column] or ""


def _without_bom(file: IO[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(file):
        yield line.removeprefix(_BOM.encode()) if number == 0 else line


def _parquet_cells(name: str, file: IO[bytes], column: str) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet, types

    try:
        table = parquet.ParquetFile(file)
        if column not in table.schema_arrow.names:
            raise SourceError(_no_column(name, column, table.schema_arrow.names))
        kind = table.schema_arrow.field(column).type
        text = kind.value_type if types.is_dictionary(kind) else kind
        if not any(is_text(text) for is_text in (types.is_string, types.is_large_string, types.is_string_view)):
            raise SourceError(f"{name}: the column {column!r} is of type {kind}, and paths are strings.")
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            yield from (cell or "" for cell in batch.column(0).to_pylist())
    except pyarrow.ArrowException as error:
        raise SourceError(f"{name} is no Parquet file that can be read: {error}") from error


def _no_column(name: str, column: str, columns: Iterable[str]) -> str:
    return f"{name} has no column {column!r}; it has {', '.join(columns)}. Name one by --column."
