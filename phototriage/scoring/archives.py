"""Images in tars, compressed or not, as they come by: nothing is unpacked to a disk, and no list of members is kept."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Self

from phototriage.images.pixels import IMAGE_SUFFIXES
from phototriage.scoring.image_references import BytesInMemory, ImageReference, Item, Unreadable

# Modules rather than tarfile's own modes, since these go on behind the first of several streams, as pbzip2 writes them.
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".tar.gz": lambda file: gzip.GzipFile(fileobj=file),
    ".tgz": lambda file: gzip.GzipFile(fileobj=file),
    ".tar.bz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
}
DAMAGED = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)

Opened = Callable[[], IO[bytes]]


class _Header(tarfile.TarInfo):
    """A member's header. tarfile takes one that is damaged or cut off, but for the first, for the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two blocks of zeros: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no header of a member at byte {archive.offset}: {error}") from error


def is_packed(name: str) -> bool:
    """Whether it is called as a compressed tar is."""
    return _packing(name) is not None


def read_tar(opened: Opened, place: Callable[[int, int], ImageReference]) -> Iterator[Item]:
    """Images of a tar; `place` gives what reads so many bytes from such a one on. Raises one of DAMAGED, OSError."""
    with opened() as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        for member in _members(archive):
            yield Item(shown(member.name), _link_or_hole(member) or place(member.offset_data, member.size))


def unpack(name: str, opened: Opened, most: int) -> Iterator[Item]:
    """Images of a compressed tar, each with its content, or `most` bytes of it. Raises one of DAMAGED, OSError."""
    packing = _packing(name)
    if packing is None:
        raise ValueError(f"{name} is not called as a compressed tar is")
    with (
        opened() as file,
        _OPENERS[packing](file) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive,
    ):
        for member in _members(archive):
            yield Item(shown(member.name), _link_or_hole(member) or _content(archive, member, most))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> ImageReference:
    content = archive.extractfile(member)
    # A byte more than is allowed, so that it is told to be too large where it is read.
    return BytesInMemory(b"" if content is None else content.read(most + 1), member.size)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Image files of an archive."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all
        is_file = member.isreg() or member.islnk() or member.issym()
        if is_file and is_image_name(member.name) and not _hidden(member.name):
            yield member


def _link_or_hole(member: tarfile.TarInfo) -> ImageReference | None:
    if member.islnk() or member.issym():
        return Unreadable("It is a link in the archive. Pack it with --dereference and --hard-dereference.")
    if member.sparse:
        return Unreadable("It is stored with holes in the archive. Pack it without --sparse.")
    return None


def is_image_name(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def shown(name: str) -> str:
    """A file's name as text, also where its bytes are none."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in name.split("/"))


def _packing(name: str) -> str | None:
    return next((suffix for suffix in _OPENERS if name.lower().endswith(suffix)), None)
