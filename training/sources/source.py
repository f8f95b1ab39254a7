"""Where images come from: a folder, a tar, a table of paths, IDX files or a CSV table of pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from phototriage.common.csv_rows import CsvRows, TableError, place_of
from phototriage.images.pixels import ImageLimits, decode
from training.sources.files import DataError, Files, FolderFiles, base_name, open_files
from training.sources.layouts import SPLIT_NAMES, Entry, NoClassesError, arrange, is_image_name
from training.sources.pixel_tables import first_line, has_idx, is_pixel_header, read_idx, read_pixel_csv


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
    if is_pixel_header(first_line(path)):
        return read_pixel_csv(base_name(path), beside, [path.name])
    entries = _table_entries(path, labelled)
    names = tuple(entry.key for entry in entries)
    classes = frozenset(entry.label for entry in entries if entry.label is not None)
    return ImageSource(base_name(path), entries, classes, (), beside, names, limits)


def _table_entries(path: Path, labelled: bool) -> tuple[Entry, ...]:
    """Rows of `path,label[,split][,group]`; paths are relative to the table. No split: the hash rule."""
    name, needed = path.name, ["path", "label"] if labelled else ["path"]
    entries: dict[str, Entry] = {}
    try:
        with path.open("rb") as file:
            table = CsvRows(name, file, skip_spaces=True)
            places = _places(table, labelled)
            for line, row in table:
                cells = {column: "" if place is None else row[place].strip() for column, place in places.items()}
                if not all(cells[column] for column in needed):
                    raise DataError(f"{name}, line {line}: {' and '.join(sorted(needed))} can't be empty.")
                if cells["path"] in entries:
                    raise DataError(f"{name}, line {line}: {cells['path']} is listed twice. Keep one line.")
                if cells["split"] and cells["split"].lower() not in SPLIT_NAMES:
                    raise DataError(
                        f"{name}, line {line}: split is {cells['split']!r}; use train, val, test or nothing."
                    )
                entries[cells["path"]] = Entry(
                    cells["path"],
                    cells["label"] if labelled else None,
                    SPLIT_NAMES.get(cells["split"].lower()),
                    cells["group"] or None,
                )
    except TableError as error:
        raise DataError(str(error)) from error
    return tuple(entries[key] for key in sorted(entries))


def _places(table: CsvRows, labelled: bool) -> dict[str, int | None]:
    """Where the columns path, label, split and group are. Raises NoClassesError where labels are asked for, and there
    are none; TableError."""
    remedy = "It needs path,label[,split][,group], or label and pixel0, pixel1, …"
    places: dict[str, int | None] = dict.fromkeys(("path", "label", "split", "group"))
    places["path"] = place_of(table.name, "path", table.header, remedy)
    if labelled and "label" not in table.header:
        raise NoClassesError(
            f"{table.name} has no column called label. Add one; an embedder or autoencoder needs none."
        )
    for column in ("label", "split", "group"):
        if column in table.header:
            places[column] = place_of(table.name, column, table.header, remedy)
    return places
