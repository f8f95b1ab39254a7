"""Where the images that are scored come from: a folder, a tar, a list, a column of a table, a URL that fsspec knows.

A source is gone through in an order that is its own, and kept nowhere: ten million names take no memory.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from phototriage.images import IMAGE_SUFFIXES, ImageLimits
from phototriage.pieces import Held, Item, LocalFile, Piece, RemoteFile, Stretch, Unreadable, file_system

TABLES = (".csv", ".parquet")
LISTS = (".txt", ".lst")
PACKED_TARS: dict[str, Literal["r|gz", "r|bz2", "r|xz"]] = {
    ".tar.gz": "r|gz",
    ".tgz": "r|gz",
    ".tar.bz2": "r|bz2",
    ".tar.xz": "r|xz",
}
KINDS = "a folder, a .tar, a list of paths (.txt), a .csv or .parquet with a column of paths, or a URL of one of these"
DEFAULT_COLUMN = "path"
ROWS_AT_ONCE = 1024
_BOM = "\ufeff"


class SourceError(Exception):
    """A source that can't be gone through. The message names it, what is wrong and what to do about it."""


@dataclass(frozen=True)
class PhotoSource:
    """`items()` goes through all images, the same in the same order each time; `count()` says how many there are, or
    None where only going through all would tell. Both raise SourceError. `base` is where names start from."""

    name: str
    items: Callable[[], Iterator[Item]]
    count: Callable[[], int | None]
    base: str

    def key(self, name: str) -> str:
        """What an image is called among those of all sources: its path, or its URL."""
        return name if "://" in name or name.startswith("/") else f"{self.base}/{name}"


def open_source(where: str, column: str | None, limits: ImageLimits) -> PhotoSource:
    """What lies at a path or a URL. `column` is the table's column of paths, `path` without it. Raises SourceError."""
    if "://" in where:
        return _remote(where, column)
    path = Path(where)
    base, beside = str(path.resolve()), str(path.resolve().parent)
    suffix = path.suffix.lower()
    if column is not None and suffix not in TABLES:
        raise SourceError(f"--column is for tables, and {where} is none. Leave it out.")
    if path.is_dir():
        return _counted(where, base, lambda: _walk_folder(path))
    if not path.is_file():
        raise SourceError(f"{where} isn't there. Name {KINDS}.")
    mode = _packed(path.name)
    if mode is not None:
        return PhotoSource(where, lambda: _told(where, _unpack(path, mode, limits.max_bytes)), lambda: None, base)
    if suffix == ".tar":
        return _counted(where, base, lambda: _read_tar(path))
    if suffix in TABLES + LISTS:
        place = _local(path.parent)
        return _counted(where, beside, lambda: _lines(where, suffix, column, place, lambda: path.open("rb")))
    if suffix in IMAGE_SUFFIXES:
        return _counted(where, beside, lambda: iter([Item(path.name, LocalFile(str(path)))]))
    raise SourceError(f"{where} is none of what can be scored: {KINDS}.")


def _counted(name: str, base: str, items: Callable[[], Iterator[Item]]) -> PhotoSource:
    return PhotoSource(name, lambda: _told(name, items()), lambda: sum(1 for _ in _told(name, items())), base)


def _told(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same; what stops them is told as SourceError."""
    try:
        yield from items
    except tarfile.TarError as error:
        raise SourceError(f"{name} is damaged or cut off: {error}. Copy it again.") from error
    except (OSError, EOFError) as error:
        raise SourceError(f"{name} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{name} is no table or list in UTF-8: {error}. Save it again.") from error


def _walk_folder(folder: Path, below: str = "") -> Iterator[Item]:
    """Image files at any depth by their suffix, in the order of their names. Hidden files and folders are left out,
    links to folders are not followed."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                (entry.name + "/" * entry.is_dir(), entry.path, entry.is_dir() and entry.is_symlink())
                for entry in entries
            )
    except OSError as error:
        if not below:
            raise
        yield Item(shown(below), Unreadable(f"The folder can't be read: {error.strerror}."))
        return
    for name, path, is_link in found:
        if name.startswith(".") or is_link:
            continue
        if name.endswith("/"):
            yield from _walk_folder(Path(path), below + name)
        elif is_image_name(name):
            yield Item(shown(below + name), LocalFile(path))


def _read_tar(path: Path) -> Iterator[Item]:
    with tarfile.open(path, "r:") as archive:
        for member in _members(archive):
            yield Item(shown(member.name), _stretch(member, str(path)))


def _stretch(member: tarfile.TarInfo, path: str) -> Piece:
    if member.sparse:
        return Unreadable("It is stored with holes in the archive. Pack it without --sparse.")
    return Stretch(path, member.offset_data, member.size)


def _unpack(path: Path, mode: Literal["r|gz", "r|bz2", "r|xz"], most: int) -> Iterator[Item]:
    with tarfile.open(path, mode) as archive:
        for member in _members(archive):
            content = archive.extractfile(member)
            # A byte more than is allowed, so that it is told to be too large where it is read.
            yield Item(shown(member.name), Held(b"" if content is None else content.read(most + 1), member.size))


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Image files of an archive."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all
        if member.isreg() and is_image_name(member.name) and not _hidden(member.name):
            yield member


def _lines(
    name: str, suffix: str, column: str | None, place: Callable[[str], Piece], opened: Callable[[], IO[bytes]]
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
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        if column not in table.schema_arrow.names:
            raise SourceError(_no_column(name, column, table.schema_arrow.names))
        if not pyarrow.types.is_string(kind := table.schema_arrow.field(column).type):
            raise SourceError(f"{name}: the column {column!r} is of type {kind}, and paths are strings.")
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            yield from (cell or "" for cell in batch.column(0).to_pylist())
    except pyarrow.ArrowException as error:
        raise SourceError(f"{name} is no Parquet file that can be read: {error}") from error


def _no_column(name: str, column: str, columns: Iterable[str]) -> str:
    return f"{name} has no column {column!r}; it has {', '.join(columns)}. Name one by --column."


def _local(folder: Path) -> Callable[[str], Piece]:
    """Where the cells of a table in that folder are."""
    base = folder.resolve()

    def place(cell: str) -> Piece:
        return RemoteFile(cell) if "://" in cell else LocalFile(str(base / cell))

    return place


def _remote(url: str, column: str | None) -> PhotoSource:
    try:
        system, path = file_system(url)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url} can't be opened: {error}") from error
    suffix = PurePosixPath(path).suffix.lower()
    if column is not None and suffix not in TABLES:
        raise SourceError(f"--column is for tables, and {url} is none. Leave it out.")

    beside = url.rpartition("/")[0]

    def opened() -> IO[bytes]:
        file: IO[bytes] = system.open(path, "rb")
        return file

    if suffix == ".tar":
        return _counted(url, url, lambda: _remote_tar(url, path, opened))
    if suffix in TABLES + LISTS:
        return _counted(url, beside, lambda: _lines(url, suffix, column, _beside(url, path), opened))
    if suffix in IMAGE_SUFFIXES:
        return _counted(url, beside, lambda: iter([Item(PurePosixPath(path).name, RemoteFile(url, path))]))
    return _counted(url, url.rstrip("/"), lambda: _walk_remote(system, url, path))


def _remote_tar(url: str, path: str, opened: Callable[[], IO[bytes]]) -> Iterator[Item]:
    with opened() as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in _members(archive):
            yield Item(shown(member.name), RemoteFile(url, path, member.offset_data, member.size))


def _walk_remote(system: Any, url: str, folder: str, below: str = "") -> Iterator[Item]:
    """As `_walk_folder`. A folder's entries are in memory while it is gone through, since fsspec gives them so."""
    found = []
    for entry in system.ls(folder, detail=True):
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
            yield Item(below + name, RemoteFile(url, path))


def _beside(url: str, table: str) -> Callable[[str], Piece]:
    """Where the cells of a table are that is in such a file system itself."""
    folder = PurePosixPath(table).parent

    def place(cell: str) -> Piece:
        return RemoteFile(cell) if "://" in cell else RemoteFile(url, str(folder / cell))

    return place


def is_image_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in name.split("/"))


def _packed(name: str) -> Literal["r|gz", "r|bz2", "r|xz"] | None:
    return next((mode for suffix, mode in PACKED_TARS.items() if name.lower().endswith(suffix)), None)


def shown(name: str) -> str:
    """A file's name as text, also where its bytes are none."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
