"""The segments of a JPEG's head, and the head without those that a decoder would stumble over."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

SCAN = 0xDA
_EXIF, _PROFILE, _PHOTOSHOP, _ADOBE = 0xE1, 0xE2, 0xED, 0xEE
_JFIF = 0xE0
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xDA)})
# A run of fill bytes, then the marker; 0xFF 0x00 is a stuffed byte and no marker.
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
# What Pillow takes for the whole of it, by marker and first bytes: the least content that it reads without an error.
_LEAST = ((_JFIF, b"JFIF", 14), (_PROFILE, b"ICC_PROFILE\0", 14), (_ADOBE, b"Adobe", 12))


class Segment(NamedTuple):
    """Where it begins, with its fill bytes, where its marker and where it ends, in bytes of the file."""

    marker: int
    start: int
    marker_end: int
    end: int


def segments(jpeg: bytes) -> Iterator[Segment]:
    """All up to the first scan's header, which is the last one. Markers that stand alone end where they end.

    Raises struct.error if the file ends before.
    """
    position = 2
    while True:
        match = _MARKER.search(jpeg, position)
        if match is None:
            raise struct.error("no scan")
        marker, position = match[1][0], match.end()
        if marker not in _WITHOUT_LENGTH:
            position += struct.unpack_from(">H", jpeg, position)[0]
        yield Segment(marker, match.start(), match.end(), position)
        if marker == SCAN:
            return


def readable_head(jpeg: bytes) -> bytes:
    """The JPEG without segments that are no part of the pixels and that Pillow refuses it for, or takes long over.

    These are Photoshop's data, shortened JFIF, Adobe and profile segments, and EXIF blocks after the first: Pillow
    appends each to those before it, which takes a minute for 45,000 of them.
    """
    view = memoryview(jpeg)
    parts, start, has_exif = [], 0, False
    for segment in segments(jpeg):
        content_at = segment.marker_end + 2
        drop = segment.marker == _PHOTOSHOP
        if segment.marker == _EXIF and jpeg.startswith(b"Exif\0\0", content_at):
            drop, has_exif = has_exif, True
        for marker, name, least in _LEAST:
            if segment.marker == marker and jpeg.startswith(name, content_at):
                drop = segment.end - content_at < least
        if drop:
            parts.append(view[start : segment.start])
            start = segment.end
    return b"".join([*parts, view[start:]]) if parts else jpeg
