"""The header of a HEIF file: what kind of pictures it holds, and the size of the primary one."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from phototriage.images.av1_size import largest_picture
from phototriage.images.heif_boxes import Box, HeifBoxes, Item

_FORMATS = {b"hvc1": "HEIC", b"av01": "AVIF"}
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"})
_SEQUENCE_BRAND, _STILL_BRAND = b"avis", b"avif"
_EXIF, _NOTHING = b"Exif", b"skip"
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


@dataclass(frozen=True)
class HeifHeader:
    """`format`: HEIC, AVIF or, if the pictures are coded otherwise, HEIF and the code. Stored size in pixels, before
    any turning. `coded_pixels`: of all pictures that are decoded for it, of which the largest has `largest_picture`.
    `has_frames`: whether the file is a sequence, of which the primary picture is the first or a cover."""

    format: str
    height: int
    width: int
    coded_pixels: int
    largest_picture: int
    has_frames: bool


def is_heif(data: bytes) -> bool:
    """Whether a file's first box says that it holds HEIF pictures."""
    return data[4:8] == b"ftyp" and not _BRANDS.isdisjoint(_brands(data))


def media_brand(data: bytes) -> str | None:
    """The main brand of an ISO media file, such as a video, in letters; None for another file."""
    return data[8:12].decode("ascii", "replace").strip() if data[4:8] == b"ftyp" else None


def read_heif(data: bytes) -> HeifHeader:
    """Raises struct.error if it is corrupt or has no primary picture, TooManyBoxes."""
    boxes = HeifBoxes(data)
    primary = boxes.items.get(boxes.primary, Item())
    size = _size(data, primary)
    coded = _coded_items(boxes, primary)
    kinds = {item.kind for item in coded}
    code = kinds.pop() if len(kinds) == 1 else primary.kind
    name = _FORMATS.get(code, f"HEIF of {code.decode('ascii', 'replace')}")
    # What else is decoded is the opacity. Other pictures of the file, such as thumbnails, are not.
    coded += [item for item in boxes.items.values() if item.kind in _FORMATS and _is_alpha(data, item)]
    # Each tile is decoded anew, also where a grid lists the same one a thousand times.
    for read in (coded, boxes.items.values()):
        if sum(end - start for item in read for start, end in item.extents) > 2 * len(data):
            raise struct.error("items that share their bytes")
    by_item = {id(item): _picture_pixels(data, item) for item in coded}
    pictures = [by_item[id(item)] for item in coded]
    return HeifHeader(name, size[1], size[0], sum(pictures), max(pictures), has_frames=boxes.has_track)


def still_picture(avif: bytes) -> bytes:
    """The AVIF such that a decoder takes the primary picture, not a sequence of frames, and sees no EXIF block.

    In a HEIF file, unlike a JPEG, the orientation is that of the properties; EXIF's is another record of the same.
    """
    changed = bytearray(avif)
    if avif[8:12] == _SEQUENCE_BRAND:
        changed[8:12] = _STILL_BRAND
    for item in HeifBoxes(avif).items.values():
        if item.kind == _EXIF:
            changed[item.kind_at : item.kind_at + 4] = _NOTHING
    return bytes(changed)


def _brands(data: bytes) -> list[bytes]:
    """The main brand, then those that the file is compatible with."""
    end = min(int.from_bytes(data[:4]), len(data), 400)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]


def _coded_items(boxes: HeifBoxes, primary: Item) -> list[Item]:
    """The pictures that a decoder decodes for the primary one."""
    if not primary.inputs:
        return [primary]
    return [boxes.items.get(number, Item()) for number in primary.inputs]


def _property(data: bytes, item: Item, kind: bytes) -> Box | None:
    return next((each for each in item.properties if each.kind == kind), None)


def _size(data: bytes, item: Item) -> tuple[int, int]:
    """Width and height."""
    place = _property(data, item, b"ispe")
    if place is None:
        raise struct.error("no size")
    width, height = struct.unpack_from(">II", data, place.start + 4)
    return width, height


def _picture_pixels(data: bytes, item: Item) -> int:
    width, height = _size(data, item)
    if item.kind != b"av01":
        return width * height  # libheif refuses a bitstream of other sizes by itself
    content = b"".join(memoryview(data)[start:end] for start, end in item.extents)
    return max(width * height, largest_picture(content))


def _is_alpha(data: bytes, item: Item) -> bool:
    place = _property(data, item, b"auxC")
    return place is not None and data.startswith(_ALPHA, place.start + 4, place.end)
