"""Images that come as bare pixels: IDX files (MNIST and its kin) and CSV tables of one image a row."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.sources.files import DataError, Files
from training.sources.layouts import SPLIT_NAMES, Entry, Split

Pixels = NDArray[np.uint8]

# Xiao et al. 2017, table 2: the files hold the numbers only.
FASHION_MNIST_LABELS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_IDX_IMAGES = re.compile(r"(?:.*/)?(train|t10k|test)-images[-.]idx3-ubyte(\.gz)?$")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_IDX_SPLITS: dict[str, Split] = {"train": "train", "t10k": "test", "test": "test"}


@dataclass(frozen=True)
class PixelSource:
    """Images held in memory as (H, W) or (H, W, 3) uint8, in the order of their tables."""

    name: str
    entries: tuple[Entry, ...]
    classes: frozenset[str]
    tables: tuple[Pixels, ...]
    strays: tuple[tuple[str, str], ...] = ()
    # Centred silhouettes of 28 × 28 resemble each other by nature: only equal pixels make a duplicate.
    finds_near_identical: bool = False

    def read(self, index: int) -> bytes:
        """The image as a PNG, so that it goes the same way as any file."""
        buffer = io.BytesIO()
        self.image(index).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    def image(self, index: int) -> Image.Image:
        """Of mode RGB or, if it is grey, L."""
        return Image.fromarray(self._array(index))

    def digest(self, index: int) -> str:
        """sha256 of shape and pixels: a PNG's bytes would depend on the compressor's version."""
        array = self._array(index)
        return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()

    def _array(self, index: int) -> Pixels:
        for table in self.tables:
            if index < len(table):
                return cast(Pixels, table[index])
            index -= len(table)
        raise IndexError(index)


def has_idx(names: Sequence[str]) -> bool:
    return any(_IDX_IMAGES.match(name) for name in names)


def read_idx(name: str, files: Files) -> PixelSource:
    """`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and their t10k pair, gzipped or not.

    Train and test are honoured. Raises DataError if a file is cut short or a labels file is missing.
    """
    entries: list[Entry] = []
    tables: dict[Split, Pixels] = {}
    for file in files.names:
        match = _IDX_IMAGES.match(file)
        if not match or _IDX_SPLITS[match[1]] in tables:  # torchvision leaves the .gz beside the file
            continue
        split = _IDX_SPLITS[match[1]]
        labels_name = file.replace("-images", "-labels").replace("idx3", "idx1")
        variants = {labels_name, labels_name.removesuffix(".gz"), f"{labels_name}.gz"} & set(files.names)
        if not variants:
            raise DataError(f"{file} has no {labels_name} beside it. Put both files into the folder.")
        images = _idx_array(file, files.read(file), dimensions=3)
        labels = _idx_array(min(variants), files.read(min(variants)), dimensions=1)
        if len(images) != len(labels):
            raise DataError(f"{file} has {len(images):,} images, but {min(variants)} {len(labels):,} labels.")
        tables[split] = images
        entries += [Entry(f"{split}/{row}", str(label), split) for row, label in enumerate(labels.tolist())]
    return PixelSource(name, tuple(entries), frozenset(_labels(entries)), tuple(tables.values()))


def _idx_array(name: str, data: bytes, dimensions: int) -> Pixels:
    if name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name} can't be decompressed: {error}. Fetch it again.") from error
    header = 4 + 4 * dimensions
    # Two zero bytes, 8 for uint8, the number of dimensions, then a big-endian uint32 per dimension.
    if len(data) < header or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{name} is no IDX file of uint8 with {dimensions} dimensions: it starts {data[:4].hex()}.")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise DataError(
            f"{name} announces {math.prod(shape):,} values, but holds {len(data) - header:,}. Fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_pixel_csv(name: str, files: Files, names: Sequence[str]) -> PixelSource:
    """CSV tables of one image a row: columns label and pixel0…N (or 1…), whole numbers of 0–255.

    The pixels must be a square (grey) or three times a square (RGB, channel last). A file's split is in its
    name (`fashion-mnist_test.csv`); where it isn't, and for a single file, the hash rule splits.
    Raises DataError for another header, a value that isn't a whole number of 0–255, or a ragged row.
    """
    entries: list[Entry] = []
    tables: list[Pixels] = []
    for file in names:
        labels, images = _csv_arrays(file, files.read(file))
        split = _split_in_name(file)
        tables.append(images)
        stem = file.rsplit("/", 1)[-1].removesuffix(".csv")
        entries += [Entry(f"{stem}/{row}", label, split) for row, label in enumerate(labels)]
    return PixelSource(name, tuple(entries), frozenset(_labels(entries)), tuple(tables))


def first_line(path: Path) -> str:
    """Of a text file, without a byte order mark; lines end in LF, CR LF or CR."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline()


def is_pixel_header(header: str) -> bool:
    columns = _columns(header)
    return "label" in columns and sum(bool(re.fullmatch(r"pixel_?\d+", column)) for column in columns) > 1


def _csv_arrays(name: str, data: bytes) -> tuple[list[str], Pixels]:
    header, body = (*_LINE_END.split(data, maxsplit=1), b"")[:2]
    columns = _columns(header.decode("utf-8-sig", "replace"))
    if not is_pixel_header(",".join(columns)) or len(columns) != 1 + sum(c.startswith("pixel") for c in columns):
        raise DataError(f"{name} needs the columns label and pixel0, pixel1, …; it has {', '.join(columns[:4])} …")
    if not body.strip():
        raise DataError(f"{name} has no row below its header.")
    count = len(columns) - 1
    side = math.isqrt(count)
    shape: tuple[int, ...] = (side, side)
    if side * side != count:
        side = math.isqrt(count // 3)
        shape = (side, side, 3)
    if math.prod(shape) != count:
        raise DataError(f"{name} has {count} pixel columns: neither a square nor three times a square.")
    place = columns.index("label")
    try:
        rows = np.loadtxt(
            _lines(body), np.uint8, comments=None, delimiter=",", ndmin=2, converters={place: lambda _: 0}
        )
        labels = np.loadtxt(_lines(body), str, comments=None, delimiter=",", usecols=place, ndmin=1)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} isn't UTF-8. Save it as UTF-8.") from error
    except ValueError as error:
        raise DataError(f"{name} must hold whole numbers of 0–255 in every pixel column: {error}.") from error
    if rows.shape[1] != len(columns):
        raise DataError(f"{name} has rows of {rows.shape[1]} values below a header of {len(columns)} columns.")
    return [label.strip() for label in labels.tolist()], np.delete(rows, place, axis=1).reshape(-1, *shape)


def _lines(body: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(body), "utf-8")


def _columns(header: str) -> list[str]:
    return [column.strip().strip('"').lower() for column in header.split(",")]


def _split_in_name(name: str) -> Split | None:
    words = re.split(r"[^a-z]+", name.rsplit("/", 1)[-1].lower())
    found = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else None


def _labels(entries: Sequence[Entry]) -> set[str]:
    return {entry.label for entry in entries if entry.label is not None}
