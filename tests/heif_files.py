"""HEIF files put together box by box from the coded pictures of others: grids, and what no encoder would write."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phototriage.images.heif_boxes import HeifBoxes

_FOLDER = Path(__file__).parent / "heic"


def heic_file(name: str) -> bytes:
    """A file of tests/heic, which make.py describes."""
    return (_FOLDER / f"{name}.heic").read_bytes()


def box(kind: bytes, *content: bytes) -> bytes:
    whole = b"".join(content)
    return struct.pack(">I", 8 + len(whole)) + kind + whole


def full_box(kind: bytes, version: int, *content: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24), *content)


def size_property(height: int, width: int) -> bytes:
    return full_box(b"ispe", 0, struct.pack(">II", width, height))


@dataclass(frozen=True)
class Part:
    """An item of a file. `inputs`: numbers of those that it is put together of. `copies`: how often its data are
    listed."""

    kind: bytes
    content: bytes
    properties: Sequence[bytes] = ()
    inputs: Sequence[int] = ()
    copies: int = 1


@dataclass(frozen=True)
class Source:
    """A coded picture: its code, bitstream and properties by type."""

    kind: bytes
    content: bytes
    properties: Mapping[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, file: bytes) -> Source:
        """The primary picture of a file."""
        boxes = HeifBoxes(file)
        item = boxes.items[boxes.primary]
        properties = {each.kind: file[each.start - 8 : each.end] for each in item.properties}
        return cls(item.kind, b"".join(file[start:end] for start, end in item.extents), properties)

    def part(self, **changed: bytes) -> Part:
        """As an item; properties may be changed by type, and left out with b""."""
        properties = {**self.properties} | {kind.encode(): value for kind, value in changed.items()}
        return Part(self.kind, self.content, [value for value in properties.values() if value])


def write(brand: bytes, parts: Sequence[Part], primary: int = 1, more: bytes = b"") -> bytes:
    """A file of items, numbered from 1 on. `more`: boxes at the end."""
    properties = [each for part in parts for each in part.properties]
    entries, associations, references, place = [], [], [], 0
    for number, part in enumerate(parts, start=1):
        entries.append(full_box(b"infe", 2, struct.pack(">HH4s", number, 0, part.kind), b"\0"))
        indices = bytes(range(place + 1, place + 1 + len(part.properties)))
        place += len(part.properties)
        associations.append(struct.pack(">HB", number, len(indices)) + indices)
        if part.inputs:
            listed = struct.pack(f">HH{len(part.inputs)}H", number, len(part.inputs), *part.inputs)
            references.append(box(b"dimg", listed))

    def head(start: int) -> bytes:
        places = []
        for number, part in enumerate(parts, start=1):
            extent = struct.pack(">II", start, len(part.content))
            places.append(struct.pack(">HHH", number, 0, part.copies) + extent * part.copies)
            start += len(part.content)
        meta = full_box(
            b"meta",
            0,
            full_box(b"hdlr", 0, bytes(4) + b"pict" + bytes(13)),
            full_box(b"pitm", 0, struct.pack(">H", primary)),
            full_box(b"iloc", 0, struct.pack(">HH", 0x4400, len(parts)), *places),
            full_box(b"iinf", 0, struct.pack(">H", len(parts)), *entries),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", 0, struct.pack(">I", len(parts)), *associations),
            ),
            full_box(b"iref", 0, *references) if references else b"",
        )
        return box(b"ftyp", brand, bytes(4), b"mif1", brand, b"miaf") + meta

    content = b"".join(part.content for part in parts)
    return head(len(head(0)) + 8) + box(b"mdat", content) + more


def grid(brand: bytes, tile: Source, rows: int, columns: int, height: int, width: int, **changed: bytes) -> bytes:
    """Copies of one tile, whose properties may be changed, side by side, cut to height × width."""
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    tiles = [tile.part(clap=b"", **changed) for _ in range(rows * columns)]
    whole = Part(b"grid", layout, [size_property(height, width)], inputs=range(2, 2 + len(tiles)))
    return write(brand, [whole, *tiles])


def av1_sequence_header(height: int, width: int) -> bytes:
    """The start of a bitstream, a temporal delimiter and a reduced sequence header (AV1, 5.5.1), without pictures."""
    bits = f"00011{0:05b}{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}".ljust(96, "0")
    return b"\x12\0\x0a\x0c" + int(bits, 2).to_bytes(12)
