"""The first directory of a TIFF, which an EXIF block has too: its entries, and the directory with only those that the
pixels need."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

WIDTH, HEIGHT, ORIENTATION = 0x0100, 0x0101, 0x0112
TILE_WIDTH, TILE_HEIGHT = 0x0142, 0x0143
_STRIPS, _TILES = 0x0111, 0x0144
_BYTE_KINDS = frozenset({1, 2, 6, 7})  # BYTE, ASCII, SBYTE, UNDEFINED
_INTEGERS: Mapping[int, str] = {3: "H", 4: "I"}  # SHORT, LONG
# TIFF 6.0, and its supplement of 2002: what says how the pixels are stored, and what their colours are. All else is
# text, other people's data or other pictures, of any size, and may be damaged.
PIXEL_TAGS = frozenset(
    {
        *range(WIDTH, 0x0103 + 1),  # also the bits of a sample and the compression
        *(0x0106, 0x010A),  # what the values mean, and the order of bits
        *(0x0111, ORIENTATION, 0x0115, 0x0116, 0x0117, 0x011C),  # strips, samples a pixel, and planes
        *(0x0124, 0x0125, 0x013D, 0x0140),  # fax options, the predictor and the palette
        *range(TILE_WIDTH, 0x0145 + 1),
        *(0x014C, 0x014E, 0x0152, 0x0153),  # inks, further samples, and whether values are integers
        *(0x015B, *range(0x0200, 0x020A)),  # JPEG's tables, of the new kind and the old one
        *(0x0211, 0x0212, 0x0213, 0x0214),  # luma and chroma
        *(0x8773, 0xBC01),  # the colour profile, and the pixels of a JPEG XR
    }
)


class Entry(NamedTuple):
    """`value` if that is a single 16-bit or 32-bit integer, else 0 or an offset; `at`: where the entry begins."""

    tag: int
    kind: int
    length: int
    value: int
    at: int

    @property
    def is_list(self) -> bool:
        """Whether a decoder makes a number of each value. A profile is a long run of bytes, which stays one."""
        return self.tag in PIXEL_TAGS and (self.kind not in _BYTE_KINDS or self.tag in (_STRIPS, _TILES))


def entries(tiff: bytes) -> Iterator[Entry]:
    """The entries of the first directory. Raises struct.error where the bytes end before."""
    order, start, count = _place(tiff)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", tiff, at)
        value = struct.unpack_from(order + _INTEGERS.get(kind, "4x"), tiff, at + 8)
        yield Entry(tag, kind, length, value[0] if value else 0, at)


def pixel_tags(tiff: bytes) -> bytes:
    """The TIFF with only its first directory, and that with only the entries that its pixels need."""
    order, start, _ = _place(tiff)
    kept = [tiff[entry.at : entry.at + 12] for entry in entries(tiff) if entry.tag in PIXEL_TAGS]
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    # What the longer directory held stays behind the shorter one, so that nothing moves.
    end = min(start + len(directory), len(tiff))
    view = memoryview(tiff)
    return b"".join([view[:start], memoryview(directory)[: end - start], view[end:]])


def _place(tiff: bytes) -> tuple[str, int, int]:
    """The order of bytes, where the first directory is, and how many entries it has."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise struct.error("no byte order")
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    return order, start, count
