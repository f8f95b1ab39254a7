"""Images in tars, compressed or not, read as a stream: nothing is unpacked to disk, and no list of members is kept."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Self

from phototriage.common.file_names import printable
from phototriage.scoring.folder_walk import PassedOver, is_image_name
from phototriage.scoring.image_references import BytesInMemory, ImageReference, Item, Unreadable

# Not tarfile's own modes: these modules read all of several concatenated streams, as pbzip2 writes them.
_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".tar.gz": lambda file: gzip.GzipFile(fileobj=file),
    ".tgz": lambda file: gzip.GzipFile(fileobj=file),
    ".tar.bz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
}
DAMAGED = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)

OpenFile = Callable[[], IO[bytes]]


class _Header(tarfile.TarInfo):
    """A member's header. tarfile takes a damaged or truncated one for the archive's end, unless it is the first; this
    raises instead."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # two blocks of zeros: the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no header of a member at byte {archive.offset}: {error}") from error


def is_compressed(name: str) -> bool:
    """Whether a file's name is that of a compressed tar."""
    return _compression(name) is not None


def read_tar(
    open_file: OpenFile, make_reference: Callable[[int, int], ImageReference], passed_over: PassedOver
) -> Iterator[Item]:
    """Images of an uncompressed tar. `make_reference` makes a reference from an offset and a size in its file. Other
    files are counted in `passed_over`.

    Raises one of DAMAGED, OSError.
    """
    with open_file() as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        for member in _members(archive, passed_over):
            yield Item(
                printable(member.name),
                _unreadable_member(member) or make_reference(member.offset_data, member.size),
            )


def unpack(name: str, open_file: OpenFile, max_bytes: int, passed_over: PassedOver) -> Iterator[Item]:
    """Images of a compressed tar, each with its bytes; of one over `max_bytes`, only the first so many and one more.
    Other files are counted in `passed_over`.

    Raises one of DAMAGED, OSError.
    """
    compression = _compression(name)
    if compression is None:
        raise ValueError(f"{name} is not called as a compressed tar is")
    with (
        open_file() as file,
        _OPENERS[compression](file) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive,
    ):
        for member in _members(archive, passed_over):
            yield Item(printable(member.name), _unreadable_member(member) or _content(archive, member, max_bytes))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, max_bytes: int) -> ImageReference:
    content = archive.extractfile(member)
    # One byte more than allowed: reading the reference refuses it then.
    return BytesInMemory(b"" if content is None else content.read(max_bytes + 1), member.size)


def _members(archive: tarfile.TarFile, passed_over: PassedOver) -> Iterator[tarfile.TarInfo]:
    """Members that are image files by name, links and the like among them."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep every member
        if member.isdir() or _is_hidden(member.name):
            continue
        if is_image_name(member.name):
            yield member
        else:
            passed_over.add(member.name)


def _unreadable_member(member: tarfile.TarInfo) -> ImageReference | None:
    """The reference for a member whose bytes aren't in one place: a link, or a sparse file."""
    if member.islnk() or member.issym():
        return Unreadable("It is a link in the archive. Pack it with --dereference and --hard-dereference.")
    if not member.isreg():
        return Unreadable("It is no file but a pipe or a device. Pack it without.")
    if member.sparse:
        return Unreadable("It is stored with holes in the archive. Pack it without --sparse.")
    return None


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part != "." for part in name.split("/"))


def _compression(name: str) -> str | None:
    return next((suffix for suffix in _OPENERS if name.lower().endswith(suffix)), None)
