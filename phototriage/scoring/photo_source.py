"""Where the images that are scored come from: a folder, a tar, a list, a column of a table, a URL that fsspec knows.

A source is gone through in an order that is its own, and isn't kept: only the names of the folder that it is in are.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.scoring import archives
from phototriage.scoring.archives import is_image_name, shown
from phototriage.scoring.image_references import (
    FileRange,
    ImageReference,
    Item,
    LocalFile,
    RemoteFile,
    Unreadable,
    file_system,
)

TABLES = (".csv", ".parquet")
LISTS = (".txt", ".lst")
KINDS = "a folder, a .tar, a list of paths (.txt), a .csv or .parquet with a column of paths, or a URL of one of these"
DEFAULT_COLUMN = "path"
ROWS_AT_ONCE = 1024
_BOM = "\ufeff"


class SourceError(Exception):
    """A source that can't be gone through. The message names it, what is wrong and what to do about it."""


@dataclass(frozen=True)
class PhotoSource:
    """`items()` goes through all images, the same in the same order each time; `count()` says how many there are, or
    None where only going through all would tell. Both raise SourceError. `base` is where names start from; in an
    archive all do."""

    name: str
    items: Callable[[], Iterator[Item]]
    count: Callable[[], int | None]
    base: str
    is_archive: bool = False
    passed_over: Counter[str] = field(default_factory=Counter)  # suffixes of files that are no images by name

    def key(self, name: str) -> str:
        """What an image is called among those of all sources: its path, or its URL."""
        if self.is_archive:
            return f"{self.base}/{name}"
        if "://" in name:
            return name
        return f"{self.base}/{name}" if "://" in self.base else os.path.normpath(Path(self.base, name))


def open_source(where: str, column: str | None, limits: ImageLimits) -> PhotoSource:
    """What lies at a path or a URL. `column` is the table's column of paths, `path` without it. Raises SourceError."""
    if "://" in where:
        return _remote(where, column, limits)
    # Processes on other machines start in folders of their own.
    path = Path(where).absolute()
    base, beside = str(path.resolve()), str(path.resolve().parent)
    suffix = path.suffix.lower()
    _check_column(where, suffix, column)
    if path.is_dir():
        return _folder(where, base, path)
    if not path.is_file():
        raise SourceError(f"{where} isn't there. Name {KINDS}.")

    def opened() -> IO[bytes]:
        return path.open("rb")

    if archives.is_packed(path.name):
        return _packed(where, base, lambda: archives.unpack(path.name, opened, limits.max_bytes))
    if suffix == ".tar":
        place = str(path)
        return _counted(where, base, lambda: archives.read_tar(opened, lambda *part: FileRange(place, *part)), True)
    if suffix in TABLES + LISTS:
        return _counted(where, beside, lambda: _lines(where, suffix, column, _local(path.parent), opened))
    if suffix in IMAGE_SUFFIXES:
        return _counted(where, beside, lambda: iter([Item(shown(path.name), LocalFile(str(path)))]))
    raise SourceError(f"{where} is none of what can be scored: {KINDS}.")


def _folder(name: str, base: str, path: Path) -> PhotoSource:
    passed_over: Counter[str] = Counter()

    def count() -> int:
        passed_over.clear()
        return sum(1 for _ in _told(name, _walk_folder(path, passed_over=passed_over)))

    return PhotoSource(name, lambda: _told(name, _walk_folder(path)), count, base, passed_over=passed_over)


def _check_column(where: str, suffix: str, column: str | None) -> None:
    if column is not None and suffix not in TABLES:
        raise SourceError(f"--column is for tables, and {where} is none. Leave it out.")


def _counted(name: str, base: str, items: Callable[[], Iterator[Item]], is_archive: bool = False) -> PhotoSource:
    def count() -> int:
        return sum(1 for _ in _told(name, items()))

    return PhotoSource(name, lambda: _told(name, items()), count, base, is_archive)


def _packed(name: str, base: str, items: Callable[[], Iterator[Item]]) -> PhotoSource:
    return PhotoSource(name, lambda: _told(name, items()), lambda: None, base, True)


def _told(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same; what stops them is told as SourceError."""
    try:
        yield from items
    except SourceError:
        raise
    except archives.DAMAGED as error:
        raise SourceError(f"{name} is damaged or cut off: {error}. Copy it again.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{name} is no table or list in UTF-8: {error}. Save it again.") from error
    except OSError as error:
        raise SourceError(f"{name} can't be read: {error.strerror or type(error).__name__}.") from error
    except Exception as error:
        if "://" not in name:
            raise
        # The libraries below fsspec have errors of their own.
        raise SourceError(f"{name} can't be read: {type(error).__name__}: {error}.") from error


def _walk_folder(folder: Path, below: str = "", passed_over: Counter[str] | None = None) -> Iterator[Item]:
    """Image files at any depth by their suffix, in the order of their names. Hidden files and folders are left out,
    links to folders are not followed. Other files are counted by their suffix in `passed_over`."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(name for entry in entries if (name := _wanted(entry, passed_over)) is not None)
    except OSError as error:
        if not below:
            raise
        yield Item(shown(below), Unreadable(f"The folder can't be read: {error.strerror}."))
        return
    for name in found:
        if name.endswith("/"):
            yield from _walk_folder(folder / name, below + name, passed_over)
        else:
            yield Item(shown(below + name), LocalFile(f"{folder}/{name}"))


def _wanted(entry: os.DirEntry[str], passed_over: Counter[str] | None) -> str | None:
    """The name of an image file, or that of a folder with a stroke behind it."""
    if entry.name.startswith("."):
        return None
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link that leads round, or to where one may not go: told when it is read
        is_folder = False
    if is_folder:
        return None if entry.is_symlink() else entry.name + "/"
    if is_image_name(entry.name):
        return entry.name
    if passed_over is not None:
        passed_over[shown(PurePosixPath(entry.name).suffix.lower()) or "without a suffix"] += 1
    return None


def _lines(
    name: str, suffix: str, column: str | None, place: Callable[[str], ImageReference], opened: Callable[[], IO[bytes]]
) -> Iterator[Item]:
    """A list's lines or a table's cells, in their order; blank lines of a list are left out."""
    cells: Callable[[IO[bytes]], Iterable[str]]
    if suffix in LISTS:
        cells = _list_cells
    elif suffix == ".csv":
        cells = lambda file: _csv_cells(name, file, column or DEFAULT_COLUMN)  # noqa: E731
    else:
        cells = lambda file: _parquet_cells(name, file, column or DEFAULT_COLUMN)  # noqa: E731
    with opened() as file:
        for cell in cells(file):
            yield Item(cell, place(cell) if cell.strip() else Unreadable("The table names no file here."))


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


def _local(folder: Path) -> Callable[[str], ImageReference]:
    """Where the cells of a table in that folder are."""
    base = folder.resolve()

    def place(cell: str) -> ImageReference:
        return RemoteFile(cell) if "://" in cell else LocalFile(str(base / cell))

    return place


def _remote(url: str, column: str | None, limits: ImageLimits) -> PhotoSource:
    try:
        system, path = file_system(url)
    except Exception as error:  # a package or a protocol that isn't there, or what lies below fsspec
        raise SourceError(f"{url} can't be opened: {error}") from error
    name = PurePosixPath(path.partition("?")[0]).name
    suffix = PurePosixPath(name).suffix.lower()
    _check_column(url, suffix, column)
    beside = url.rpartition("/")[0]

    def opened() -> IO[bytes]:
        file: IO[bytes] = system.open(path, "rb")
        return file

    if archives.is_packed(name):
        return _packed(url, url, lambda: archives.unpack(name, opened, limits.max_bytes))
    if suffix == ".tar":
        return _counted(url, url, lambda: archives.read_tar(opened, lambda *part: RemoteFile(url, path, *part)), True)
    if suffix in TABLES + LISTS:
        return _counted(url, beside, lambda: _lines(url, suffix, column, _beside(url, path), opened))
    if suffix in IMAGE_SUFFIXES:
        return _counted(url, beside, lambda: iter([Item(name, RemoteFile(url, path))]))
    return _counted(url, url.rstrip("/"), lambda: _walk_remote(system, url, path))


def _walk_remote(system: Any, url: str, folder: str, below: str = "") -> Iterator[Item]:
    """As `_walk_folder`. A folder's entries are in memory while it is gone through, since fsspec gives them so."""
    entries = system.ls(folder, detail=True)
    system.invalidate_cache(folder)  # else it keeps all folders' entries
    found = []
    for entry in entries:
        path = str(entry["name"]).rstrip("/")
        if path != folder.rstrip("/"):  # some stores list the folder itself
            found.append((PurePosixPath(path).name + "/" * (entry["type"] == "directory"), path))
    if not found and not below and not system.exists(folder):
        raise SourceError(f"{url} isn't there. Name {KINDS}.")
    for name, path in sorted(found):
        if name.startswith("."):
            continue
        if name.endswith("/"):
            yield from _walk_remote(system, url, path, below + name)
        elif is_image_name(name):
            yield Item(shown(below + name), RemoteFile(url, path))


def _beside(url: str, table: str) -> Callable[[str], ImageReference]:
    """Where the cells of a table are that is in such a file system itself."""
    folder = PurePosixPath(table).parent

    def place(cell: str) -> ImageReference:
        return RemoteFile(cell) if "://" in cell else RemoteFile(url, str(folder / cell))

    return place
