"""The boxes of a HEIF file, which HEIC and AVIF are: its items, their properties and where their data lie.

ISO 14496-12 (boxes) and 23008-12 (items). Nothing is believed of a length or a count before the bytes are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_BOXES = 10_000  # a phone's photo of 50 megapixels has about 300 items
_CODED = frozenset({b"hvc1", b"av01"})


class Box(NamedTuple):
    """Its type, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


class Extent(NamedTuple):
    start: int
    end: int


@dataclass
class Item:
    """`kind`: hvc1 and av01 are coded pictures, grid is put together of those in `inputs`. `properties`: boxes."""

    kind: bytes = b""
    kind_at: int = 0
    properties: list[Box] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)


class TooManyBoxes(Exception):
    """There are more of them than MAX_BOXES."""


class HeifBoxes:
    """What a file's first `meta` box says. `primary`: the number of the item that is shown.

    Raises struct.error if a box is cut short, TooManyBoxes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.primary = 0
        self.items: dict[int, Item] = {}
        self._left = MAX_BOXES
        self._properties: list[Box] = []
        self._idat = Box(b"idat", 0, 0)
        top = list(self._boxes(0, len(data)))
        self.has_track = any(box.kind == b"moov" for box in top)
        meta = next((box for box in top if box.kind == b"meta"), None)
        if meta is None:
            return
        inner = {box.kind: box for box in self._boxes(meta.start + 4, meta.end)}
        self._idat = inner.get(b"idat", self._idat)
        # Associations number the properties, and places the items, so that the order counts.
        for kind, read in ((b"pitm", self._pitm), (b"iinf", self._iinf), (b"iprp", self._iprp), (b"iref", self._iref)):
            if kind in inner:
                read(inner[kind])
        if b"iloc" in inner:
            self._iloc(inner[b"iloc"])

    def item(self, number: int) -> Item:
        return self.items.setdefault(number, Item())

    def _boxes(self, start: int, end: int) -> Iterator[Box]:
        while start + 8 <= end:
            self._count()
            size, kind = struct.unpack_from(">I4s", self.data, start)
            content = start + 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", self.data, content)
                content += 8
            stop = end if size == 0 else start + size
            if stop < content or (stop > end and kind != b"mdat"):
                raise struct.error("a box that ends outside the one around it")
            yield Box(kind, content, stop)
            start = stop

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooManyBoxes

    def _version(self, box: Box) -> int:
        return self.data[box.start]

    def _pitm(self, box: Box) -> None:
        (self.primary,) = struct.unpack_from(">H" if self._version(box) == 0 else ">I", self.data, box.start + 4)

    def _iinf(self, box: Box) -> None:
        start = box.start + (6 if self._version(box) == 0 else 8)
        for entry in self._boxes(start, box.end):
            version = self._version(entry)
            if entry.kind == b"infe" and version >= 2:
                (number,) = struct.unpack_from(">H" if version == 2 else ">I", self.data, entry.start + 4)
                item = self.item(number)
                item.kind_at = entry.start + (8 if version == 2 else 10)
                item.kind = self.data[item.kind_at : item.kind_at + 4]

    def _iprp(self, box: Box) -> None:
        parts = list(self._boxes(box.start, box.end))
        for part in parts:
            if part.kind == b"ipco":
                self._properties += self._boxes(part.start, part.end)
        for part in parts:
            if part.kind == b"ipma":
                self._ipma(part)

    def _ipma(self, box: Box) -> None:
        wide, long = self._version(box) > 0, self.data[box.start + 3] & 1
        (count,) = struct.unpack_from(">I", self.data, box.start + 4)
        at = box.start + 8
        for _ in range(count):
            self._count()
            (number,) = struct.unpack_from(">I" if wide else ">H", self.data, at)
            at += 4 if wide else 2
            properties = self.item(number).properties
            for place in range(at + 1, at + 1 + self.data[at] * (1 + long), 1 + long):
                # The first bit says whether the property is essential.
                index = struct.unpack_from(">H", self.data, place)[0] & 0x7FFF if long else self.data[place] & 0x7F
                if index > len(self._properties):
                    raise struct.error("no such property")
                if index:
                    properties.append(self._properties[index - 1])
            at += 1 + self.data[at] * (1 + long)

    def _iref(self, box: Box) -> None:
        number = ">H" if self._version(box) == 0 else ">I"
        size = struct.calcsize(number)
        for entry in self._boxes(box.start + 4, box.end):
            (source,) = struct.unpack_from(number, self.data, entry.start)
            (count,) = struct.unpack_from(">H", self.data, entry.start + size)
            if entry.start + size + 2 + count * size > entry.end:
                raise struct.error("a list of references that is cut short")
            for place in range(entry.start + size + 2, entry.start + size + 2 + count * size, size):
                self._count()
                (target,) = struct.unpack_from(number, self.data, place)
                if entry.kind == b"dimg":
                    self.item(source).inputs.append(target)

    def _iloc(self, box: Box) -> None:
        version = self._version(box)
        sizes, more = self.data[box.start + 4], self.data[box.start + 5]
        offset_size, length_size, base_size, index_size = sizes >> 4, sizes & 15, more >> 4, more & 15 if version else 0
        at = box.start + 6

        def number(size: int) -> int:
            nonlocal at
            at += size
            if at > box.end:
                raise struct.error("a list of places that is cut short")
            return int.from_bytes(self.data[at - size : at])

        for _ in range(number(2 if version < 2 else 4)):
            self._count()
            item = self.item(number(2 if version < 2 else 4))
            method = number(2) & 15 if version else 0
            number(2)  # 0 where the data are in this file
            base = number(base_size)
            for _ in range(number(2)):
                self._count()
                number(index_size)
                start, length = base + number(offset_size), number(length_size)
                container = (self._idat.start, self._idat.end) if method == 1 else (0, len(self.data))
                start = min(container[0] + start, container[1])
                item.extents.append(Extent(start, min(start + length, container[1]) if length else container[1]))
