"""A folder or a tar as named files, read at random from any thread or worker. Nothing is extracted."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from phototriage.common.errors import PhototriageError
from phototriage.common.file_names import printable

# A gzip stream can't be read at random, so a compressed tar lives in memory.
COMPRESSED_TAR_LIMIT_BYTES = 4 * 2**30
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


class DataError(PhototriageError):
    """A set of images that can't be trained on. `detail` names what was found, the limit and the remedy."""

    code: ClassVar[str] = "data"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The images can't be trained on"


class Files(Protocol):
    """Named files, `/`-separated. `folders` holds every folder's name, also of those without a file."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def folders(self) -> frozenset[str]: ...

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]: ...

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The file's bytes. Raises DataError where it is larger than `limit` bytes, OSError if it is gone."""
        ...


def is_clutter(name: str) -> bool:
    """What archivers and file managers leave behind: `__MACOSX`, dotfiles, Thumbs.db."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in name.split("/"))


def base_name(path: Path) -> str:
    """`a/cats.tar.gz` → `cats`. A set is recorded by this name, never by its path."""
    name = printable(path.resolve().name)
    for suffix in (".tar.gz", ".tgz", ".tar", ".csv"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def open_files(path: Path) -> Files:
    """The folder or tar at `path`. Raises DataError if it is missing or is something else."""
    if path.is_dir():
        return FolderFiles.scan(path)
    if not path.exists():
        raise DataError(f"{path} doesn't exist. Give a folder, a .tar, a .tar.gz or a .csv table.")
    if path.name.lower().endswith(TAR_SUFFIXES):
        return TarFiles.scan(path)
    raise DataError(f"{path.name} is neither a folder nor a {', '.join(TAR_SUFFIXES)} or .csv file.")


def _check_size(name: str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise DataError(f"{name} has {size:,} bytes, over the limit of {limit:,}. Reduce the image or leave it out.")


@dataclass(frozen=True)
class FolderFiles:
    root: Path
    names: tuple[str, ...]
    folders: frozenset[str]
    skipped: tuple[tuple[str, str], ...]

    @classmethod
    def scan(cls, root: Path) -> FolderFiles:
        """Lists the folder. Linked files are read; linked folders aren't followed: they may form a ring."""
        names: list[str] = []
        folders: set[str] = set()
        skipped: list[tuple[str, str]] = []
        for parent, subfolders, files in os.walk(root):
            below = Path(parent).relative_to(root)
            for subfolder in subfolders:
                name = (below / subfolder).as_posix()
                if (root / name).is_symlink():
                    skipped.append((name, "a link to a folder, which isn't followed"))
                elif not is_clutter(name):
                    folders.add(name)
            found = ((below / file).as_posix() for file in files)
            names += [name for name in found if not is_clutter(name)]
        return cls(root.resolve(), tuple(sorted(names)), frozenset(folders), tuple(sorted(skipped)))

    def read(self, name: str, limit: int | None = None) -> bytes:
        path = self.root / name
        _check_size(name, path.stat().st_size, limit)
        return path.read_bytes()


@dataclass(frozen=True)
class TarFiles:
    """A tar, indexed once. Each read opens the file anew, so that threads and processes share no position."""

    path: Path
    places: dict[str, tuple[int, int]]  # name → offset and size in bytes
    folders: frozenset[str]
    skipped: tuple[tuple[str, str], ...]
    unpacked: bytes | None = None  # the whole tar where it was compressed

    @classmethod
    def scan(cls, path: Path) -> TarFiles:
        """Indexes the tar. Raises DataError if it is broken, or is compressed and doesn't fit in memory."""
        unpacked = None if path.name.lower().endswith(".tar") else _unpack(path)
        places: dict[str, tuple[int, int]] = {}
        folders: set[str] = set()
        skipped: list[tuple[str, str]] = []
        try:
            with (
                path.open("rb") if unpacked is None else io.BytesIO(unpacked) as stream,
                tarfile.open(fileobj=stream, mode="r:") as tar,
            ):
                for member in tar:
                    name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
                    if not name or is_clutter(name):
                        continue
                    if member.isdir():
                        folders.add(name)
                    elif member.isreg() and not member.issparse():
                        places[name] = (member.offset_data, member.size)  # a later member replaces an earlier one
                        folders.update(_parents(name))
                    else:
                        skipped.append((name, "a link or a special file, which has no content in a tar"))
        except tarfile.TarError as error:
            raise DataError(f"{path.name} can't be read as a tar: {error}. Pack it again.") from error
        ordered = {name: places[name] for name in sorted(places)}
        return cls(path.resolve(), ordered, frozenset(folders), tuple(sorted(skipped)), unpacked)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.places)

    def read(self, name: str, limit: int | None = None) -> bytes:
        offset, size = self.places[name]
        _check_size(name, size, limit)
        if self.unpacked is not None:
            return self.unpacked[offset : offset + size]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _unpack(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            unpacked = stream.read(COMPRESSED_TAR_LIMIT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} can't be decompressed: {error}. Pack it again.") from error
    if len(unpacked) > COMPRESSED_TAR_LIMIT_BYTES:
        raise DataError(
            f"{path.name} unpacks to over {COMPRESSED_TAR_LIMIT_BYTES:,} bytes, which must fit in memory. "
            "Run gunzip on it: a plain .tar is read in place."
        )
    return unpacked
