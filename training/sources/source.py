"""Where images come from: a folder, a tar, a table of paths, IDX files or a CSV table of pixels."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from phototriage.images.pixels import ImageLimits, decode
from training.sources.files import DataError, Files, FolderFiles, base_name, open_files
from training.sources.layouts import SPLIT_NAMES, Entry, NoClassesError, arrange, is_image_name
from training.sources.pixel_tables import has_idx, is_pixel_header, read_idx, read_pixel_csv


class Source(Protocol):
    """Entries whose content is read at random, from any thread or worker process."""

    @property
    def name(self) -> str: ...

    @property
    def entries(self) -> tuple[Entry, ...]: ...

    @property
    def classes(self) -> frozenset[str]: ...

    @property
    def strays(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def finds_near_identical(self) -> bool: ...

    def read(self, index: int) -> bytes:
        """The bytes of an image file."""
        ...

    def image(self, index: int) -> Image.Image:
        """Upright, of mode RGB or, if it is grey, L. Raises PhototriageError or OSError if unreadable."""
        ...

    def digest(self, index: int) -> str:
        """sha256 of the content, in hex."""
        ...


@dataclass(frozen=True)
class ImageSource:
    """Image files of a folder or a tar."""

    name: str
    entries: tuple[Entry, ...]
    classes: frozenset[str]
    strays: tuple[tuple[str, str], ...]
    files: Files
    names: tuple[str, ...]
    limits: ImageLimits
    finds_near_identical: bool = True

    def read(self, index: int) -> bytes:
        return self.files.read(self.names[index], self.limits.max_bytes)

    def image(self, index: int) -> Image.Image:
        return decode(self.read(index), self.limits)

    def digest(self, index: int) -> str:
        return hashlib.sha256(self.read(index)).hexdigest()


def open_source(path: Path, *, labelled: bool, limits: ImageLimits) -> Source:
    """Looks at what lies at `path` and lists its entries; no image is read yet. Raises DataError."""
    if path.suffix.lower() == ".csv" and path.is_file():
        return _open_csv(path, labelled, limits)
    files, name = open_files(path), base_name(path)
    if has_idx(files.names):
        return read_idx(name, files)
    if not any(is_image_name(file) for file in files.names):
        tables = [file for file in files.names if file.lower().endswith(".csv")]
        if tables:
            return read_pixel_csv(name, files, tables)
    layout = arrange(files.names, files.folders, labelled)
    strays = tuple(sorted(layout.strays + files.skipped))
    return ImageSource(name, layout.entries, layout.classes, strays, files, layout.names, limits)


def _open_csv(path: Path, labelled: bool, limits: ImageLimits) -> Source:
    beside = FolderFiles(path.parent.resolve(), (path.name,), frozenset(), ())
    with path.open("rb") as stream:
        header = stream.readline()
    if is_pixel_header(header.decode("utf-8-sig", "replace")):
        return read_pixel_csv(base_name(path), beside, [path.name])
    try:
        text = beside.read(path.name).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is no CSV table in UTF-8: {error}. Save it again.") from error
    entries = _table_entries(path.name, rows, labelled)
    names = tuple(entry.key for entry in entries)
    classes = frozenset(entry.label for entry in entries if entry.label is not None)
    return ImageSource(base_name(path), entries, classes, (), beside, names, limits)


def _table_entries(name: str, rows: Sequence[dict[str, str]], labelled: bool) -> tuple[Entry, ...]:
    """Rows of `path,label[,split][,group]`; paths are relative to the table. No split: the hash rule."""
    needed = {"path", "label"} if labelled else {"path"}
    if not rows:
        raise DataError(f"{name} has no row below its header.")
    if "path" in rows[0] and not needed <= rows[0].keys():
        raise NoClassesError(f"{name} has no column called label. Add one; an embedder or autoencoder needs none.")
    if "path" not in rows[0]:
        raise DataError(
            f"{name} has the columns {', '.join(map(str, rows[0]))}. It needs path,label[,split][,group], "
            "or label and pixel0, pixel1, …"
        )
    entries: dict[str, Entry] = {}
    for line, row in enumerate(rows, start=2):
        cells = {column: (row.get(column) or "").strip() for column in ("path", "label", "split", "group")}
        if not all(cells[column] for column in needed):
            raise DataError(f"{name}, line {line}: {' and '.join(sorted(needed))} can't be empty.")
        if cells["path"] in entries:
            raise DataError(f"{name}, line {line}: {cells['path']} is listed twice. Keep one line.")
        if cells["split"] and cells["split"].lower() not in SPLIT_NAMES:
            raise DataError(f"{name}, line {line}: split is {cells['split']!r}; use train, val, test or nothing.")
        entries[cells["path"]] = Entry(
            cells["path"],
            cells["label"] if labelled else None,
            SPLIT_NAMES.get(cells["split"].lower()),
            cells["group"] or None,
        )
    return tuple(entries[key] for key in sorted(entries))
