"""References to images of a source: a name, and how the bytes are read, in any process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from phototriage.common.errors import PhototriageError, TooLarge, UnreadableFile
from phototriage.images.pixels import ImageLimits
from phototriage.scoring.image_files import read_file, reason


class ImageReference(Protocol):
    """Where an image's bytes are. Can be pickled, and read in another process."""

    def read(self, limits: ImageLimits) -> bytes:
        """The image file's bytes. Raises OSError or PhototriageError."""
        ...


def bytes_in_memory(references: Iterable[ImageReference]) -> int:
    """How many bytes the references hold themselves."""
    return sum(len(reference.content) for reference in references if isinstance(reference, BytesInMemory))


class Item(NamedTuple):
    """An image of a source, by the name that its row has. Names may repeat, as the lines of a list may."""

    name: str
    reference: ImageReference


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A whole file."""

    path: str

    def read(self, limits: ImageLimits) -> bytes:
        try:
            return read_file(Path(self.path), limits)
        except ValueError as error:  # a NUL character, which a list may hold
            raise UnreadableFile(f"No file can be called so: {error}.") from error


@dataclass(frozen=True, slots=True)
class FileRange:
    """`size` bytes of a file from `offset` on, such as a member of a tar."""

    path: str
    offset: int
    size: int

    def read(self, limits: ImageLimits) -> bytes:
        _check_size(self.size, limits)
        with Path(self.path).open("rb", buffering=0) as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file, or `size` bytes of it from `offset` on, in a file system of fsspec. `root` is a URL in that file system;
    without `path` it is the file's own."""

    root: str
    path: str | None = None
    offset: int = 0
    size: int | None = None

    def read(self, limits: ImageLimits) -> bytes:
        try:
            system, root = file_system(self.root)
            path = root if self.path is None else self.path
            size = system.info(path)["size"] if self.size is None else self.size
            if size is not None:  # some web servers don't state it
                _check_size(size, limits)
                content: bytes = system.cat_file(path, start=self.offset, end=self.offset + size)
            else:
                with system.open(path, "rb") as file:
                    content = file.read(limits.max_bytes + 1)  # one byte more shows that it is too large
        except FileNotFoundError as error:
            raise UnreadableFile("There is nothing at this address.") from error
        except PhototriageError:
            raise
        except OSError as error:
            if error.strerror:
                raise
            raise UnreadableFile(f"It can't be fetched: {type(error).__name__}. Ask for it again later.") from error
        except (ImportError, ValueError) as error:  # a package is missing, or a protocol unknown
            raise UnreadableFile(f"It can't be opened: {error}.") from error
        except Exception as error:  # the libraries below fsspec have errors of their own, with addresses in the text
            raise UnreadableFile(f"It can't be fetched: {type(error).__name__}. Ask for it again later.") from error
        _check_size(len(content), limits)
        return content


@dataclass(frozen=True, slots=True)
class BytesInMemory:
    """Bytes that could only be read in passing, such as a member of a compressed archive. `size` is the whole image's;
    of one over the limit, `content` is only the beginning."""

    content: bytes
    size: int

    def read(self, limits: ImageLimits) -> bytes:
        _check_size(self.size, limits)
        return self.content


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of a source that can't be read. `detail` is what its row says."""

    detail: str

    def read(self, limits: ImageLimits) -> bytes:
        raise UnreadableFile(self.detail)


@lru_cache(maxsize=16)
def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the URL's path in it. Raises ImportError, and ValueError for an unknown
    protocol."""
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    return system, str(path)


def problem_of_failure(error: PhototriageError | OSError) -> PhototriageError:
    """The problem that a row states for a failure to read: without a path."""
    if isinstance(error, PhototriageError):
        return error
    return UnreadableFile(f"{reason(error)}. See that it is there, and may be read.")


def _check_size(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise TooLarge(f"The image has {size} bytes, and the limit is {limits.max_bytes}. Take a smaller file.")
