"""What a caller has of an image, to the bytes that are sent."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

from phototriage_client.errors import UnreadableImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


class Readable(Protocol):
    """A file opened for binary reading."""

    def read(self, size: int = -1, /) -> bytes: ...


# Pillow and NumPy needn't be installed.
ImageSource: TypeAlias = Union[
    bytes, bytearray, memoryview, str, "os.PathLike[str]", Readable, "Image.Image", "NDArray[np.uint8]"
]

ORIENTATION = 0x0112  # of EXIF
PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
NO_NAME = "image"
COMPRESSION = 1  # of zlib: images are sent once


@dataclass(frozen=True)
class Picture:
    """An image file's content, and its name without folders."""

    content: bytes
    name: str = NO_NAME


def read_picture(source: ImageSource) -> Picture:
    """The image file to be sent. Bytes and files go as they are; a Pillow image or an array becomes a PNG, without
    loss. A string is a path. Raises UnreadableImage."""
    if isinstance(source, bytes | bytearray | memoryview):
        return Picture(bytes(source))
    if isinstance(source, str | os.PathLike):
        return _of_path(source)
    if _is_a("PIL.Image", "Image", source):
        return _of_pillow(source)
    if _is_a("numpy", "ndarray", source):
        return Picture(_png_of_array(source))
    if hasattr(source, "read"):
        return _of_file(source)
    raise UnreadableImage(
        f"An image can't be made of {type(source).__name__!r}. Give bytes, a path, a file opened for binary reading, a "
        "Pillow image or a NumPy array."
    )


def is_at_hand(source: ImageSource) -> bool:
    """Whether it takes no reading and no encoding."""
    return isinstance(source, bytes | bytearray | memoryview)


def _is_a(module: str, name: str, value: object) -> bool:
    """Without importing the module: a value of its class is there only if somebody else has."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _of_path(path: str | os.PathLike[str]) -> Picture:
    shown = os.fsdecode(path)
    try:
        # What waits for a writer, as a pipe does, isn't waited for.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableImage(f"{shown} is no file but a pipe or a device. Take it away.")
            return Picture(file.read(), _name(path))
    except OSError as error:
        raise UnreadableImage(f"{shown} can't be read: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise UnreadableImage(f"{shown!r} can't be read: {error}") from error


def _of_file(file: Any) -> Picture:
    try:
        content = file.read()
    except Exception as error:  # a file may be anything that reads: a response, a member of an archive
        raise UnreadableImage(f"The file can't be read: {error}") from error
    if not isinstance(content, bytes):
        raise UnreadableImage(f"The file gave {type(content).__name__!r}, not bytes. Open it with mode 'rb'.")
    return Picture(content, _name(getattr(file, "name", None)))


def _name(path: Any) -> str:
    """The last part of a path, as far as UTF-8 can say it."""
    if not isinstance(path, str | os.PathLike):
        return NO_NAME
    name = Path(os.fsdecode(path)).name or NO_NAME
    return name.encode("utf-8", "replace").decode("utf-8")


def _of_pillow(image: Any) -> Picture:
    if image.mode not in PNG_MODES:
        raise UnreadableImage(
            f"A Pillow image of mode {image.mode!r} can't be sent without loss, since PNG has no such mode. Send its "
            f"file, or image.convert('RGB'). Modes that go: {', '.join(PNG_MODES)}."
        )
    file = io.BytesIO()
    try:
        exif = type(image.getexif())()
        orientation = image.getexif().get(ORIENTATION)
        if orientation is not None:  # of what EXIF tells, this alone, so that the server turns it as it would its file
            exif[ORIENTATION] = orientation
        image.save(file, "PNG", compress_level=COMPRESSION, exif=exif)
    except Exception as error:  # decoders, which run only now, raise many kinds
        raise UnreadableImage(f"The Pillow image can't be written as PNG: {error}") from error
    return Picture(file.getvalue(), _name(getattr(image, "filename", None) or None))


def _png_of_array(array: Any) -> bytes:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8."""
    colours = {2: {0: 0}, 3: {3: 2, 4: 6}}.get(array.ndim, {})  # PNG's colour type by number of channels
    channels = array.shape[2] if array.ndim == 3 else 0
    if array.dtype.name != "uint8" or channels not in colours or 0 in array.shape:
        raise UnreadableImage(
            f"An array of {array.dtype} {array.shape} is no image. Give uint8, values 0 to 255, of shape (height, "
            "width), (height, width, 3) RGB or (height, width, 4) RGBA, none of them 0."
        )
    height, width = array.shape[:2]
    rows = array.reshape(height, -1)
    deflate = zlib.compressobj(COMPRESSION)
    # Each row of a PNG begins with its filter, which is none.
    data = b"".join([deflate.compress(b"\0" + row.tobytes()) for row in rows] + [deflate.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, colours[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
