"""Lists of paths: the lines of a text file, or a column of a CSV or Parquet table."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO

from phototriage.common.csv_rows import CsvRows, TableError, check_text, place_of
from phototriage.scoring.image_references import ImageReference, Item

TABLES = (".csv", ".parquet")
LISTS = (".txt", ".lst")
DEFAULT_COLUMN = "path"
ROWS_AT_ONCE = 1024
_NAME_ONE = "Name one by --column."


class SourceError(Exception):
    """A source that can't be read. The message names it, what is wrong and what to do about it."""


def read_list(
    name: str,
    suffix: str,
    column: str | None,
    make_reference: Callable[[str], ImageReference],
    open_file: Callable[[], IO[bytes]],
) -> Iterator[Item]:
    """The lines of a list, or the cells of a table's column, in their order, as items. A list's blank lines are left
    out; a table names an image in each row.

    name: of the source, for messages. suffix: one of LISTS or TABLES. column: DEFAULT_COLUMN without it.
    make_reference: makes a reference from a path. Raises SourceError, OSError.
    """
    with open_file() as file:
        try:
            for cell in _cells(name, suffix, column or DEFAULT_COLUMN, file):
                yield Item(cell, make_reference(cell))
        except TableError as error:
            raise SourceError(str(error)) from error


def _cells(name: str, suffix: str, column: str, file: IO[bytes]) -> Iterator[str]:
    if suffix in LISTS:
        return _list_cells(name, file)
    return _csv_cells(name, column, file) if suffix == ".csv" else _parquet_cells(name, column, file)


def _list_cells(name: str, file: IO[bytes]) -> Iterator[str]:
    """Lines end in LF, CR LF or CR."""
    is_empty = True
    with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            cell = line.rstrip("\n")
            if cell.strip():
                check_text(f"{name}, line {number}", cell.replace("\0", ""))  # which only costs that name its answer
                is_empty = False
                yield cell
    if is_empty:
        raise TableError(f"{name} is empty. It needs a path on each line.")


def _csv_cells(name: str, column: str, file: IO[bytes]) -> Iterator[str]:
    rows = CsvRows(name, file)
    (place,) = rows.places([column], _NAME_ONE)
    for line, cells in rows:
        if not cells[place].strip():
            raise TableError(_no_path(f"{name}, line {line}", column))
        yield cells[place]


def _parquet_cells(name: str, column: str, file: IO[bytes]) -> Iterator[str]:
    import pyarrow
    from pyarrow import parquet, types

    try:
        table = parquet.ParquetFile(file)
        place = place_of(name, column, table.schema_arrow.names, _NAME_ONE)
        kind = table.schema_arrow.field(place).type
        text = kind.value_type if types.is_dictionary(kind) else kind
        if not any(is_text(text) for is_text in (types.is_string, types.is_large_string, types.is_string_view)):
            raise TableError(f"{name}: the column {column!r} is of type {kind}, and paths are strings. {_NAME_ONE}")
        row = 0
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for cell in batch.column(0):
                row += 1
                try:
                    path = cell.as_py()
                except UnicodeDecodeError as error:
                    raise TableError(f"{name}, row {row} isn't UTF-8. Write the table anew, as UTF-8.") from error
                if path is None or not path.strip():
                    raise TableError(_no_path(f"{name}, row {row}", column))
                yield path
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise TableError(f"{name} is no Parquet file that can be read: {reason}. Write it anew.") from error
    if row == 0:
        raise TableError(f"{name} has no rows. Add one for each image.")


def _no_path(where: str, column: str) -> str:
    return f"{where}: the column {column!r} names no file. Fill it in, or take the row away."
