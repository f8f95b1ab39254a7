"""Sources of images to score: a folder, a tar, a list, a column of a table, or a URL of one of these that fsspec opens.

A source is read as a stream, in its own order. Of a folder, only the entries of one level are in memory at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.scoring import archives
from phototriage.scoring.archives import is_image_name, printable_name
from phototriage.scoring.image_references import (
    FileRange,
    ImageReference,
    Item,
    LocalFile,
    RemoteFile,
    Unreadable,
    file_system,
)
from phototriage.scoring.path_lists import LISTS, TABLES, SourceError, read_list

__all__ = ["PhotoSource", "SourceError", "open_source"]

KINDS = "a folder, a .tar, a list of paths (.txt), a .csv or .parquet with a column of paths, or a URL of one of these"


@dataclass(frozen=True)
class PhotoSource:
    """A source that was opened. `items()` gives all images, in the same order each time; `count()` says how many there
    are, or None if only reading them all would tell. Both raise SourceError. Names that are relative paths start at
    `base`, a path or a URL; in an archive all do."""

    name: str
    items: Callable[[], Iterator[Item]]
    count: Callable[[], int | None]
    base: str
    is_archive: bool = False
    passed_over: Counter[str] = field(default_factory=Counter)  # how many files are no images by their name, by suffix

    def key(self, name: str) -> str:
        """An image's key, unique among all sources: its path, or its URL."""
        if self.is_archive:
            return f"{self.base}/{name}"
        if "://" in name:
            return name
        return f"{self.base}/{name}" if "://" in self.base else os.path.normpath(Path(self.base, name))


def open_source(where: str, column: str | None, limits: ImageLimits) -> PhotoSource:
    """Open the source at a path or a URL. `column` is a table's column of paths, `path` without it; `limits` bound what
    a compressed archive keeps of an image in memory. Raises SourceError."""
    if "://" in where:
        return _remote(where, column, limits)
    # Absolute, since processes on other machines have other working directories.
    path = Path(where).absolute()
    base, beside = str(path.resolve()), str(path.resolve().parent)
    suffix = path.suffix.lower()
    _check_column(where, suffix, column)
    if path.is_dir():
        return _folder(where, base, path)
    if not path.is_file():
        raise SourceError(f"{where} isn't there. Name {KINDS}.")

    def open_file() -> IO[bytes]:
        return path.open("rb")

    if archives.is_compressed(path.name):
        return _compressed(where, base, lambda: archives.unpack(path.name, open_file, limits.max_bytes))
    if suffix == ".tar":
        absolute = str(path)
        return _counted(
            where,
            base,
            lambda: archives.read_tar(open_file, lambda *offset_and_size: FileRange(absolute, *offset_and_size)),
            True,
        )
    if suffix in TABLES + LISTS:
        return _counted(
            where, beside, lambda: read_list(where, suffix, column, _local_references(path.parent), open_file)
        )
    if suffix in IMAGE_SUFFIXES:
        return _counted(where, beside, lambda: iter([Item(printable_name(path.name), LocalFile(str(path)))]))
    raise SourceError(f"{where} is none of what can be scored: {KINDS}.")


def _folder(name: str, base: str, path: Path) -> PhotoSource:
    passed_over: Counter[str] = Counter()

    def count() -> int:
        passed_over.clear()
        return sum(1 for _ in _translate_errors(name, _walk_folder(path, passed_over=passed_over)))

    return PhotoSource(name, lambda: _translate_errors(name, _walk_folder(path)), count, base, passed_over=passed_over)


def _check_column(where: str, suffix: str, column: str | None) -> None:
    if column is not None and suffix not in TABLES:
        raise SourceError(f"--column is for tables, and {where} is none. Leave it out.")


def _counted(name: str, base: str, items: Callable[[], Iterator[Item]], is_archive: bool = False) -> PhotoSource:
    def count() -> int:
        return sum(1 for _ in _translate_errors(name, items()))

    return PhotoSource(name, lambda: _translate_errors(name, items()), count, base, is_archive)


def _compressed(name: str, base: str, items: Callable[[], Iterator[Item]]) -> PhotoSource:
    return PhotoSource(name, lambda: _translate_errors(name, items()), lambda: None, base, True)


def _translate_errors(name: str, items: Iterator[Item]) -> Iterator[Item]:
    """The same items; an error that ends them is raised as SourceError."""
    try:
        yield from items
    except SourceError:
        raise
    except archives.DAMAGED as error:
        raise SourceError(f"{name} is damaged or cut off: {error}. Copy it again.") from error
    except OSError as error:
        raise SourceError(f"{name} can't be read: {error.strerror or type(error).__name__}.") from error
    except Exception as error:
        if "://" not in name:
            raise
        # The libraries below fsspec have errors of their own.
        raise SourceError(f"{name} can't be read: {type(error).__name__}: {error}.") from error


def _walk_folder(folder: Path, below: str = "", passed_over: Counter[str] | None = None) -> Iterator[Item]:
    """Image files at any depth, by their suffix, in the order of their names, which begin with `below`. Hidden files
    and folders are left out, links to folders are not followed. Other files are counted by their suffix in
    `passed_over`."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(name for entry in entries if (name := _entry_name(entry, passed_over)) is not None)
    except OSError as error:
        if not below:
            raise
        yield Item(printable_name(below), Unreadable(f"The folder can't be read: {error.strerror}."))
        return
    for name in names:
        if name.endswith("/"):
            yield from _walk_folder(folder / name, below + name, passed_over)
        else:
            yield Item(printable_name(below + name), LocalFile(f"{folder}/{name}"))


def _entry_name(entry: os.DirEntry[str], passed_over: Counter[str] | None) -> str | None:
    """The name of an image file, the name of a folder with a slash appended, or None for any other entry."""
    if entry.name.startswith("."):
        return None
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link in a circle, or to where access is denied: reading it will fail
        is_folder = False
    if is_folder:
        return None if entry.is_symlink() else entry.name + "/"
    if is_image_name(entry.name):
        return entry.name
    if passed_over is not None:
        passed_over[printable_name(PurePosixPath(entry.name).suffix.lower()) or "without a suffix"] += 1
    return None


def _local_references(folder: Path) -> Callable[[str], ImageReference]:
    """Makes references from the paths of a table or list in that folder."""
    base = folder.resolve()

    def make_reference(path: str) -> ImageReference:
        return RemoteFile(path) if "://" in path else LocalFile(str(base / path))

    return make_reference


def _remote(url: str, column: str | None, limits: ImageLimits) -> PhotoSource:
    try:
        system, path = file_system(url)
    except Exception as error:  # a package is missing, a protocol unknown, or a library below fsspec fails
        raise SourceError(f"{url} can't be opened: {error}") from error
    name = PurePosixPath(path.partition("?")[0]).name
    suffix = PurePosixPath(name).suffix.lower()
    _check_column(url, suffix, column)
    beside = url.rpartition("/")[0]

    def open_file() -> IO[bytes]:
        file: IO[bytes] = system.open(path, "rb")
        return file

    if archives.is_compressed(name):
        return _compressed(url, url, lambda: archives.unpack(name, open_file, limits.max_bytes))
    if suffix == ".tar":
        return _counted(
            url,
            url,
            lambda: archives.read_tar(open_file, lambda *offset_and_size: RemoteFile(url, path, *offset_and_size)),
            True,
        )
    if suffix in TABLES + LISTS:
        return _counted(url, beside, lambda: read_list(url, suffix, column, _remote_references(url, path), open_file))
    if suffix in IMAGE_SUFFIXES:
        return _counted(url, beside, lambda: iter([Item(name, RemoteFile(url, path))]))
    return _counted(url, url.rstrip("/"), lambda: _walk_remote(system, url, path))


def _walk_remote(system: Any, url: str, folder: str, below: str = "") -> Iterator[Item]:
    """As `_walk_folder`. A folder's entries are in memory while it is read, since fsspec returns them as a list."""
    entries = system.ls(folder, detail=True)
    system.invalidate_cache(folder)  # otherwise it keeps the entries of all folders
    names_and_paths = []
    for entry in entries:
        path = str(entry["name"]).rstrip("/")
        if path != folder.rstrip("/"):  # some stores list the folder itself
            names_and_paths.append((PurePosixPath(path).name + "/" * (entry["type"] == "directory"), path))
    if not names_and_paths and not below and not system.exists(folder):
        raise SourceError(f"{url} isn't there. Name {KINDS}.")
    for name, path in sorted(names_and_paths):
        if name.startswith("."):
            continue
        if name.endswith("/"):
            yield from _walk_remote(system, url, path, below + name)
        elif is_image_name(name):
            yield Item(printable_name(below + name), RemoteFile(url, path))


def _remote_references(url: str, table: str) -> Callable[[str], ImageReference]:
    """Makes references from the paths of a table or list at `table` in the file system of `url`."""
    folder = PurePosixPath(table).parent

    def make_reference(path: str) -> ImageReference:
        return RemoteFile(path) if "://" in path else RemoteFile(url, str(folder / path))

    return make_reference
