"""Headers of image files: format, size and orientation, read before any decoder gets the bytes.

Decoders allocate memory by the size in the header, some of them on opening, so limits have to be checked first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from phototriage.common.errors import UndecodableImage, UnsupportedImage

# Each block (segment, chunk) costs a decoder time and memory, even an empty one. Phones write about twenty; a 20 MB
# file whose pixels are in blocks of 1 KB has 20,000.
MAX_BLOCKS = 50_000
# A run of fill bytes, then the marker; 0xFF 0x00 is a stuffed byte and no marker.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
_JPEG_SCAN = 0xDA
# Frames whose scans, unlike a progressive one's, each hold their components' final values.
_JPEG_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})

_TIFF_WIDTH, _TIFF_HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 0x0142, 0x0143
_TIFF_STRIPS, _TIFF_TILES = 0x0111, 0x0144
_INTEGERS: Mapping[int, str] = {3: "H", 4: "I"}  # SHORT, LONG
_BYTE_KINDS = frozenset({1, 2, 6, 7})  # BYTE, ASCII, SBYTE, UNDEFINED


@dataclass(frozen=True)
class Header:
    """Format and stored size in pixels, before EXIF orientation. `passes`: how often a decoder visits every pixel;
    `tile_pixels`: the size of the largest block that it decodes at once, 0 without tiles."""

    format: str
    height: int
    width: int
    passes: int = 1
    tile_pixels: int = 0


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG, PNG, WebP, GIF, BMP or TIFF file.

    Raises UnsupportedImage if the bytes are of no such format, UndecodableImage if the header is corrupt.
    """
    name = _format(data)
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError) as error:
        raise UndecodableImage(
            f"The {name} header is cut short or corrupt: {len(data)} bytes came in. Send the whole file."
        ) from error
    if header.height < 1 or header.width < 1:
        raise UndecodableImage(
            f"The {name} header says {header.width}×{header.height} pixels, and the least is 1×1. Save the image again."
        )
    return header


def read_orientation(exif: bytes) -> int:
    """The orientation 1–8 in an EXIF block, with or without its `Exif` prefix; 1 if it has none."""
    try:
        for tag, _, length, value in _entries(exif.removeprefix(b"Exif\0\0")):
            if tag == _ORIENTATION and length == 1 and 1 <= value <= 8:
                return value
    except struct.error:
        return 1  # a corrupt block is no reason to refuse the pixels
    return 1


def _format(data: bytes) -> str:
    if not data:
        raise UndecodableImage("The image has 0 bytes, and the least is 1×1 pixel. Send the file's content.")
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise UnsupportedImage(
        f"The file starts with the bytes {data[:8].hex(' ')}, which is none of JPEG, PNG, WebP, GIF, BMP "
        "and TIFF. Convert it to one of these."
    )


def _jpeg(data: bytes) -> Header:
    position, height, width, components, sequential = 2, 0, 0, 0, False
    for _ in range(MAX_BLOCKS):
        match = _JPEG_MARKER.search(data, position)
        if match is None:
            raise struct.error("no scan")
        marker, position = match[1][0], match.end()
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        if marker in _JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, position + 3)
            sequential = marker in _JPEG_SEQUENTIAL
        if marker == _JPEG_SCAN:
            if sequential and data[position + 2] == components:
                return Header("JPEG", height, width)  # decoders treat a second scan here as an error
            # Every scan of a progressive file visits all pixels again, and may itself have hardly any bytes.
            return Header("JPEG", height, width, passes=data.count(b"\xff\xda", position - 2))
        position += struct.unpack_from(">H", data, position)[0]
    raise _too_many_blocks("JPEG")


def _png(data: bytes) -> Header:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise struct.error("no header chunk")
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return Header("PNG", height, width)
        position += 12 + int.from_bytes(data[position : position + 4])
    raise _too_many_blocks("PNG")


def _gif(data: bytes) -> Header:
    """The size of the screen, enlarged to the first frame where that reaches beyond it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)  # a palette of 3 bytes a colour
    in_extension = False
    for _ in range(MAX_BLOCKS):
        kind = data[position]
        if in_extension:
            in_extension = kind > 0  # `kind` is the length of a block here, and that of the last one is 0
            position += 1 + kind
        elif kind == 0x21:
            in_extension, position = True, position + 2
        elif kind == 0x2C:
            left, top, columns, rows = struct.unpack_from("<HHHH", data, position + 1)
            return Header("GIF", max(height, top + rows), max(width, left + columns))
        else:
            raise struct.error("no frame")
    raise _too_many_blocks("GIF")


def _too_many_blocks(name: str) -> UndecodableImage:
    return UndecodableImage(
        f"The {name} is in over {MAX_BLOCKS} blocks, which is the limit. Save it again without metadata."
    )


def _webp(data: bytes) -> Header:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (1 + int.from_bytes(_slice(data, offset, 3), "little") for offset in (24, 27))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise struct.error("no picture chunk")
    return Header("WebP", height, width)


def _slice(data: bytes, start: int, length: int) -> bytes:
    if len(data) < start + length:
        raise struct.error("cut")
    return data[start : start + length]


def _bmp(data: bytes) -> Header:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return Header("BMP", abs(height), width)  # a negative height means rows from the top


def _tiff(data: bytes) -> Header:
    values: dict[int, int] = {}
    for tag, kind, length, value in _entries(data):
        # Profiles and other metadata are long runs of bytes; strips may be listed as any kind of number.
        is_list = kind not in _BYTE_KINDS or tag in (_TIFF_STRIPS, _TIFF_TILES)
        if is_list and length > MAX_BLOCKS:
            raise _too_many_blocks("TIFF")
        if length == 1:
            values.setdefault(tag, value)
    tile_pixels = values.get(_TIFF_TILE_WIDTH, 0) * values.get(_TIFF_TILE_HEIGHT, 0)
    return Header("TIFF", values.get(_TIFF_HEIGHT, 0), values.get(_TIFF_WIDTH, 0), tile_pixels=tile_pixels)


def _entries(tiff: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The entries of a TIFF's (and so an EXIF block's) first directory: tag, kind, how many values, and the
    value if it is a single 16-bit or 32-bit integer, else 0 or an offset."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise struct.error("no byte order")
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, entry)
        value = struct.unpack_from(order + _INTEGERS.get(kind, "4x"), tiff, entry + 8)
        yield tag, kind, length, value[0] if value else 0


_SIGNATURES: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_READERS: Mapping[str, Callable[[bytes], Header]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "WebP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
}
