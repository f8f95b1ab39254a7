"""Rows of a CSV file as a stream, and which of its columns is meant."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its marks, as bytes that are no UTF-8
_NO_UTF_8 = re.compile("[\udc80-\udcff]")
_SHOWN = 200  # characters of a header in a message


class TableError(Exception):
    """A table that can't be used. The message names the file, what is wrong and what to do about it."""


class Row(NamedTuple):
    """A row's cells, as many as there are columns, and its last line in the file, counted from 1."""

    line: int
    cells: list[str]


class CsvRows:
    """The rows of a CSV file in UTF-8, read once. Lines end in LF, CR LF or CR; blank ones are left out, as is a byte
    order mark.

    header: the names of the columns, without spaces around them.
    """

    def __init__(self, name: str, file: IO[bytes], *, skip_spaces: bool = False) -> None:
        """name: the file's, for messages. skip_spaces: at the beginning of cells. Raises TableError, OSError."""
        self.name = name
        self._rows = _read(name, file, skip_spaces)
        header = next(self._rows, None)
        if header is None:
            raise TableError(f"{name} is empty. It needs a line of column names and one for each row below it.")
        self.header = [cell.strip() for cell in header.cells]

    def __iter__(self) -> Iterator[Row]:
        """All rows below the header. Raises TableError, OSError."""
        count = 0
        for row in self._rows:
            count += 1
            if len(row.cells) != len(self.header):
                raise TableError(
                    f"{self.name}, line {row.line} has {counted(len(row.cells), 'cell')}, and there are "
                    f"{counted(len(self.header), 'column')}. Complete it; quotation marks keep a comma in a cell."
                )
            yield row
        if not count:
            raise TableError(f"{self.name} has no row below its header. Add one for each image.")

    def places(self, columns: Sequence[str], remedy: str) -> list[int]:
        """Where these columns are; each has to be there once. Raises TableError, which ends in `remedy`."""
        return [place_of(self.name, column, self.header, remedy) for column in columns]


def place_of(name: str, column: str, header: Sequence[str], remedy: str) -> int:
    """Where the one column of that name is in the header of the table `name`. Raises TableError, which ends in
    `remedy` where there is none."""
    count = header.count(column)
    if count > 1:
        raise TableError(f"{name} has {count} columns {column!r}. Rename or remove all but one.")
    if count == 1:
        return header.index(column)
    delimiter = _other_delimiter(column, header)
    if delimiter is not None:
        raise TableError(f"{name} has its columns separated by {_DELIMITERS[delimiter]}. Save it with commas.")
    shown = ", ".join(header)
    there = f"it has {shown[:_SHOWN]}{'…' * (len(shown) > _SHOWN)}" if header else "it has no columns"
    raise TableError(f"{name} has no column {column!r}; {there}. {remedy}")


def check_text(where: str, text: str) -> None:
    """Raise TableError for what is no text: bytes that aren't UTF-8, which stand as surrogates, and NUL characters."""
    if text.startswith(_UTF_16):
        raise TableError(f"{where} is in UTF-16. Save it as UTF-8.")
    if not text.isascii() and _NO_UTF_8.search(text):
        raise TableError(f"{where} isn't UTF-8. Save it as UTF-8.")
    if "\0" in text:
        raise TableError(f"{where} holds a NUL character. Save it as UTF-8 text.")


def counted(count: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _read(name: str, file: IO[bytes], skip_spaces: bool) -> Iterator[Row]:
    """All rows that aren't blank, the header's among them. Closes the file at its end."""
    before = 0
    # Bytes that are no UTF-8 are kept here, so that the row can be named that they stand in.
    with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True, skipinitialspace=skip_spaces)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise TableError(
                    f"{name} is no CSV table from line {before + 1} on: {error}. Close each quotation mark, and "
                    "double those inside of a cell."
                ) from error
            if cells is None:
                return
            before = reader.line_num
            if cells:
                check_text(f"{name}, line {before}", "".join(cells))
                yield Row(before, cells)


def _other_delimiter(column: str, header: Iterable[str]) -> str | None:
    """What separates the columns if it is no comma: the one in a single name, or the one beside the column's."""
    line = ",".join(header)
    for delimiter in _DELIMITERS:
        names = [name.strip(' "') for name in line.split(delimiter)]
        if len(names) > 1 and (column in names or "," not in line):
            return delimiter
    return None
