"""Headers of image files: format, size and orientation, read before any decoder gets the bytes.

Decoders allocate memory by the size in the header, some of them on opening, so limits have to be checked first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from phototriage.common.errors import UndecodableImage, UnsupportedImage
from phototriage.images import jpeg_segments, png_chunks, tiff_directory
from phototriage.images.heif_boxes import MAX_BOXES, TooManyBoxes
from phototriage.images.heif_header import is_heif, media_brand, read_heif

# Each block (segment, chunk) costs a decoder time and memory, even an empty one. Phones write about twenty; a 20 MB
# file whose pixels are in blocks of 1 KB has 20,000.
MAX_BLOCKS = 50_000
_WEBP_ANIMATION = 0x02
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Frames whose scans, unlike a progressive one's, each hold their components' final values.
_JPEG_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})


# Of an animation, the first frame, or the picture for programs that show no animations, which need not be a frame.
Frame = Literal["first", "default"]


@dataclass(frozen=True)
class Header:
    """Format and stored size in pixels, before it is turned upright. `passes`: how often a decoder visits every pixel;
    `tile_pixels`: the size of the largest block that it decodes at once, 0 without tiles; `frame`: which one it
    decodes, None for a still picture."""

    format: str
    height: int
    width: int
    passes: int = 1
    tile_pixels: int = 0
    frame: Frame | None = None


def read_header(data: bytes) -> Header:
    """Read the header of a JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF file.

    Raises UnsupportedImage if the bytes are of no such format, UndecodableImage if the header is corrupt.
    """
    name = _format(data)
    try:
        header = _READERS[name](data)
    except TooManyBoxes as error:
        raise _too_many_blocks(name, MAX_BOXES) from error
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
        for entry in tiff_directory.entries(exif.removeprefix(b"Exif\0\0")):
            if entry.tag == tiff_directory.ORIENTATION and entry.length == 1 and 1 <= entry.value <= 8:
                return entry.value
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
    if is_heif(data):
        return "HEIF"
    brand = media_brand(data)
    what = f"starts with the bytes {data[:8].hex(' ')}" if brand is None else f"is an ISO media file of brand {brand}"
    raise UnsupportedImage(
        f"The file {what}, which is none of JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP and TIFF. Convert it to one of these."
    )


def _jpeg(data: bytes) -> Header:
    height, width, components, sequential = 0, 0, 0, False
    for number, segment in enumerate(jpeg_segments.segments(data), start=1):
        if number > MAX_BLOCKS:
            raise _too_many_blocks("JPEG")
        if segment.marker in _JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, segment.marker_end + 3)
            sequential = segment.marker in _JPEG_SEQUENTIAL
    if sequential and data[segment.marker_end + 2] == components:
        return Header("JPEG", height, width)  # decoders treat a second scan here as an error
    # Every scan of a progressive file visits all pixels again, and may itself have hardly any bytes.
    return Header("JPEG", height, width, passes=data.count(b"\xff\xda", segment.marker_end - 2))


def _png(data: bytes) -> Header:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise struct.error("no header chunk")
    position, frames = 8, 0
    frame: Frame | None = None
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return Header("PNG", height, width, frame=_png_frame(frames, frame))
        match data[position + 4 : position + 8]:
            case b"acTL" if frame is None:
                frames = int.from_bytes(data[position + 8 : position + 12])
            case b"fcTL" if frame is None:
                frame = "first"
            case b"IDAT" if frame is None:
                frame = "default"
        position += 12 + int.from_bytes(data[position : position + 4])
    raise _too_many_blocks("PNG")


def _png_frame(frames: int, before_pixels: Frame | None) -> Frame | None:
    """APNG, as the PNG specification has it (11.3.4): where a frame's chunk comes before the pixels, they are that
    frame."""
    return before_pixels if frames > (before_pixels == "first") else None


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
            left, top, columns, rows, flags = struct.unpack_from("<HHHHB", data, position + 1)
            after = position + 10 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1
            frame: Frame | None = "first" if _has_more(data, after) else None
            return Header("GIF", max(height, top + rows), max(width, left + columns), frame=frame)
        else:
            raise struct.error("no frame")
    raise _too_many_blocks("GIF")


def _has_more(gif: bytes, position: int) -> bool:
    """Whether another frame follows the one whose pixels are at `position`; not looked for behind MAX_BLOCKS blocks."""
    try:
        for _ in range(MAX_BLOCKS):
            length = gif[position]
            position += 1 + length
            while length == 0 and gif[position] == 0x21:  # an extension, of which the first block follows its name
                position += 2
                length = gif[position]
                position += 1 + length
            if length == 0:
                return gif[position] == 0x2C
    except IndexError:
        return False
    return False


def _too_many_blocks(name: str, limit: int = MAX_BLOCKS) -> UndecodableImage:
    return UndecodableImage(
        f"The {name} is in over {limit} blocks, which is the limit. Save it again without metadata."
    )


def _webp(data: bytes) -> Header:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (1 + int.from_bytes(_slice(data, offset, 3), "little") for offset in (24, 27))
        return Header("WebP", height, width, frame="first" if data[20] & _WEBP_ANIMATION else None)
    if chunk == b"VP8L":
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
    for entry in tiff_directory.entries(data):
        if entry.is_list and entry.length > MAX_BLOCKS:
            raise _too_many_blocks("TIFF")
        if entry.length == 1:
            values.setdefault(entry.tag, entry.value)
    height, width = (values.get(tag, 0) for tag in (tiff_directory.HEIGHT, tiff_directory.WIDTH))
    tile_pixels = values.get(tiff_directory.TILE_WIDTH, 0) * values.get(tiff_directory.TILE_HEIGHT, 0)
    return Header("TIFF", height, width, tile_pixels=tile_pixels)


def _heif(data: bytes) -> Header:
    found = read_heif(data)
    passes = -(-found.coded_pixels // max(1, found.height * found.width))
    frame: Frame | None = "default" if found.has_frames else None
    return Header(found.format, found.height, found.width, passes, found.largest_picture, frame)


_SIGNATURES: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    png_chunks.SIGNATURE: "PNG",
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
    "HEIF": _heif,
}
