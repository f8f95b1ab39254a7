"""Sources of images to score: a folder, a tar, a list, a column of a table, or a URL of one of these that fsspec opens.

A source is read as a stream, in its own order. Of a folder, only the entries of one level are in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from phototriage.common.file_names import printable
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.scoring import archives
from phototriage.scoring.folder_walk import PassedOver, is_image_name, walk
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
    passed_over: PassedOver = field(default_factory=PassedOver)  # known once they are counted, or all read

    def key(self, name: str) -> str:
        """An image's key, unique among all sources: its path, or its URL."""
        base = printable(self.base)
        if self.is_archive:
            return f"{base}/{name}"
        if "://" in name:
            return name
        return f"{base}/{name}" if "://" in base else os.path.normpath(Path(base, name))


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
        return _counted(where, base, lambda passed_over: _walk_folder(path, passed_over))
    if not path.is_file():
        raise SourceError(f"{where} isn't there. Name {KINDS}.")

    def open_file() -> IO[bytes]:
        return path.open("rb")

    if archives.is_compressed(path.name):
        return _compressed(
            where, base, lambda passed_over: archives.unpack(path.name, open_file, limits.max_bytes, passed_over)
        )
    if suffix == ".tar":
        absolute = str(path)
        return _counted(
            where,
            base,
            lambda passed_over: archives.read_tar(
                open_file, lambda *offset_and_size: FileRange(absolute, *offset_and_size), passed_over
            ),
            True,
        )
    if suffix in TABLES + LISTS:
        return _counted(
            where, beside, lambda _: read_list(where, suffix, column, _local_references(path.parent), open_file)
        )
    if suffix in IMAGE_SUFFIXES:
        return _counted(where, beside, lambda _: iter([Item(printable(path.name), LocalFile(str(path)))]))
    raise SourceError(f"{where} is none of what can be scored: {KINDS}.")


def _check_column(where: str, suffix: str, column: str | None) -> None:
    if column is not None and suffix not in TABLES:
        raise SourceError(f"--column is for tables, and {where} is none. Leave it out.")


def _counted(
    name: str, base: str, items: Callable[[PassedOver], Iterator[Item]], is_archive: bool = False
) -> PhotoSource:
    """Counting reads all of it once; what is passed over is known from then on."""
    passed_over = PassedOver()

    def count() -> int:
        passed_over.clear()
        return sum(1 for _ in _translate_errors(name, items(passed_over)))

    return PhotoSource(name, lambda: _translate_errors(name, items(PassedOver())), count, base, is_archive, passed_over)


def _compressed(name: str, base: str, items: Callable[[PassedOver], Iterator[Item]]) -> PhotoSource:
    """Its images are counted when they are read, as is what is passed over."""
    passed_over = PassedOver()

    def read() -> Iterator[Item]:
        passed_over.clear()
        return _translate_errors(name, items(passed_over))

    return PhotoSource(name, read, lambda: None, base, True, passed_over)


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


def _walk_folder(folder: Path, passed_over: PassedOver) -> Iterator[Item]:
    for name, problem in walk(folder, passed_over):
        if problem is None:
            yield Item(printable(name), LocalFile(f"{folder}/{name}"))
        else:
            yield Item(printable(name), Unreadable(f"The folder can't be read: {problem.strerror}."))


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
        return _compressed(
            url, url, lambda passed_over: archives.unpack(name, open_file, limits.max_bytes, passed_over)
        )
    if suffix == ".tar":
        return _counted(
            url,
            url,
            lambda passed_over: archives.read_tar(
                open_file, lambda *offset_and_size: RemoteFile(url, path, *offset_and_size), passed_over
            ),
            True,
        )
    if suffix in TABLES + LISTS:
        return _counted(url, beside, lambda _: read_list(url, suffix, column, _remote_references(url, path), open_file))
    if suffix in IMAGE_SUFFIXES:
        return _counted(url, beside, lambda _: iter([Item(printable(name), RemoteFile(url, path))]))
    return _counted(url, url.rstrip("/"), lambda passed_over: _walk_remote(system, url, path, passed_over))


def _walk_remote(system: Any, url: str, folder: str, passed_over: PassedOver, below: str = "") -> Iterator[Item]:
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
            yield from _walk_remote(system, url, path, passed_over, below + name)
        elif is_image_name(name):
            yield Item(printable(below + name), RemoteFile(url, path))
        else:
            passed_over.add(name)


def _remote_references(url: str, table: str) -> Callable[[str], ImageReference]:
    """Makes references from the paths of a table or list at `table` in the file system of `url`."""
    folder = PurePosixPath(table).parent

    def make_reference(path: str) -> ImageReference:
        return RemoteFile(path) if "://" in path else RemoteFile(url, str(folder / path))

    return make_reference
