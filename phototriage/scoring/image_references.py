"""One image of a source: its name, and how its bytes are read, in whichever process."""

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
    """Bytes that are somewhere else until they are read. Can be pickled."""

    def read(self, limits: ImageLimits) -> bytes:
        """Raises OSError or PhototriageError."""
        ...


def bytes_in_memory(pieces: Iterable[ImageReference]) -> int:
    """How many bytes they have with them."""
    return sum(len(piece.content) for piece in pieces if isinstance(piece, BytesInMemory))


class Item(NamedTuple):
    """An image by the name that its row bears. Names may repeat, as the lines of a list do."""

    name: str
    piece: ImageReference


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
    """Consecutive bytes of a file, as a member of a tar is."""

    path: str
    offset: int
    size: int

    def read(self, limits: ImageLimits) -> bytes:
        _check(self.size, limits)
        with Path(self.path).open("rb", buffering=0) as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file, or `size` bytes of it from `offset` on, in a file system of fsspec; `root` is a URL in it, and the
    file's own where there is no `path`."""

    root: str
    path: str | None = None
    offset: int = 0
    size: int | None = None

    def read(self, limits: ImageLimits) -> bytes:
        try:
            system, root = file_system(self.root)
            path = root if self.path is None else self.path
            size = system.info(path)["size"] if self.size is None else self.size
            if size is not None:  # some servers of the web don't say
                _check(size, limits)
                content: bytes = system.cat_file(path, start=self.offset, end=self.offset + size)
            else:
                with system.open(path, "rb") as file:
                    content = file.read(limits.max_bytes + 1)  # which tells of one that is too large
        except FileNotFoundError as error:
            raise UnreadableFile("There is nothing at this address.") from error
        except PhototriageError:
            raise
        except OSError as error:
            if error.strerror:
                raise
            raise UnreadableFile(f"It can't be fetched: {type(error).__name__}. Ask for it again later.") from error
        except (ImportError, ValueError) as error:  # a package or a protocol that isn't there
            raise UnreadableFile(f"It can't be opened: {error}.") from error
        except Exception as error:  # the libraries below fsspec have errors of their own, with addresses in the text
            raise UnreadableFile(f"It can't be fetched: {type(error).__name__}. Ask for it again later.") from error
        _check(len(content), limits)
        return content


@dataclass(frozen=True, slots=True)
class BytesInMemory:
    """Bytes that had to be read when they came by, as those of a compressed archive have."""

    content: bytes
    size: int

    def read(self, limits: ImageLimits) -> bytes:
        _check(self.size, limits)
        return self.content


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in a source but can't be read: the row says why."""

    detail: str

    def read(self, limits: ImageLimits) -> bytes:
        raise UnreadableFile(self.detail)


@lru_cache(maxsize=16)
def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system that a URL is in, and the URL's path there. Raises ImportError, and ValueError for an
    unknown protocol."""
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    return system, str(path)


def problem_of_failure(error: PhototriageError | OSError) -> PhototriageError:
    """A failure to read, as a row tells it: without a path."""
    if isinstance(error, PhototriageError):
        return error
    return UnreadableFile(f"{reason(error)}. See that it is there, and may be read.")


def _check(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise TooLarge(f"The image has {size} bytes, and the limit is {limits.max_bytes}. Take a smaller file.")
