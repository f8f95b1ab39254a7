"""What a set of images is like, for a person to read before training on it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from PIL import Image

from phototriage.common.file_names import printable
from training.data.dataset import ENOUGH_IMAGES, Dataset, some
from training.sources.files import DataError
from training.sources.layouts import SPLITS
from training.sources.pixel_tables import PixelSource

# Where a warning starts. None of them forbids training.
MAX_IMBALANCE = 3.0  # largest class over smallest
MIN_SIDE_PIXELS = 32
MAX_GROUP_SHARE = 0.05  # of all images
_LISTED = 8


@dataclass(frozen=True)
class Description:
    """Names are keys of the dataset; sizes are (smallest, median, largest) in pixels as stored."""

    name: str
    sha256: str
    images: int
    classes: dict[str, dict[str, int]]  # label → images per split
    splits: dict[str, int]
    widths: tuple[float, float, float]
    heights: tuple[float, float, float]
    modes: dict[str, int]
    formats: dict[str, int]
    unreadable: tuple[tuple[str, str], ...]
    exact_duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, str], ...]
    label_conflicts: tuple[tuple[str, ...], ...]
    crossing_splits: tuple[tuple[str, ...], ...]  # the same picture, by prescribed splits
    groups: int
    largest_group: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        """Tables and lists ; long lists are cut."""
        lines = [f"{self.name}: {self.images:,} images, sha256 {self.sha256}", ""]
        lines += _table(self._split_rows())
        lines += [""]
        lines += [f"width       {_range(self.widths)}", f"height      {_range(self.heights)}"]
        lines += [f"colours     {_tally(self.modes)}", f"formats     {_tally(self.formats)}"]
        lines += [f"groups      {self.groups:,}, the largest of {self.largest_group:,} images", ""]
        lines += _list("unreadable", [f"{key}: {reason}" for key, reason in self.unreadable])
        lines += _list("sets of equal pixels", [" = ".join(names) for names in self.exact_duplicates])
        lines += _list("near-identical pairs", [" ~ ".join(names) for names in self.near_duplicates])
        lines += _list("same picture, different labels", [" ~ ".join(names) for names in self.label_conflicts])
        lines += _list("same picture in two splits", [" ~ ".join(names) for names in self.crossing_splits])
        lines += _list("warnings", self.warnings)
        return "\n".join(lines)

    def _split_rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("class", "images", "share", *SPLITS)]
        for label, counts in (*self.classes.items(), ("all", self.splits)):
            count = sum(counts.values())
            rows.append((label, f"{count:,}", f"{count / self.images:.1%}", *(f"{counts[each]:,}" for each in SPLITS)))
        return rows


def describe(dataset: Dataset, notes: Sequence[str] = ()) -> Description:
    """Reads the header of each image once more; everything else is known from loading. notes: warnings from there."""
    headers = [_header(dataset, index) for index in range(len(dataset))]
    widths, heights = ([size[axis] for size, _, _ in headers] for axis in (0, 1))
    classes: dict[str, dict[str, int]] = {
        label: {
            split: sum(record.label == number and record.split == split for record in dataset.records)
            for split in SPLITS
        }
        for number, label in enumerate(dataset.labels)
    }
    groups = Counter(record.group for record in dataset.records)
    same = dataset.same_pictures()
    crossing = [found for found in same if len({dataset.records[i].split for i in found}) > 1]

    def key(index: int) -> str:
        return printable(dataset.records[index].key)

    def keys(indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(map(key, indices))

    return Description(
        name=dataset.name,
        sha256=dataset.sha256,
        images=len(dataset),
        classes=classes,
        splits=dataset.counts(),
        widths=(min(widths), median(widths), max(widths)),
        heights=(min(heights), median(heights), max(heights)),
        modes=dict(Counter(mode for _, mode, _ in headers).most_common()),
        formats=dict(Counter(kind for _, _, kind in headers).most_common()),
        unreadable=tuple((printable(name), printable(reason)) for name, reason in dataset.unreadable),
        exact_duplicates=tuple(keys(found) for found in dataset.near_identical.exact),
        near_duplicates=tuple((key(i), key(j)) for i, j in dataset.near_identical.near),
        label_conflicts=tuple(keys(found) for found in dataset.conflicts()),
        crossing_splits=tuple(keys(found) for found in crossing),
        groups=len(groups),
        largest_group=max(groups.values()),
        warnings=(*notes, *_warnings(dataset, classes, widths, heights, max(groups.values()), len(crossing))),
    )


def _header(dataset: Dataset, index: int) -> tuple[tuple[int, int], str, str]:
    """Size, Pillow's mode and format, as stored."""
    if isinstance(dataset.source, PixelSource):
        image = dataset.image(index)
        return image.size, image.mode, "pixels"
    with Image.open(io.BytesIO(dataset.read(index))) as image:
        return image.size, image.mode, image.format or "unknown"


def _warnings(
    dataset: Dataset,
    classes: dict[str, dict[str, int]],
    widths: Sequence[int],
    heights: Sequence[int],
    largest_group: int,
    crossing: int,
) -> Iterable[str]:
    counts = {label: sum(splits.values()) for label, splits in classes.items()}
    if counts:
        largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        if counts[largest] > MAX_IMBALANCE * counts[smallest]:
            yield (
                f"{largest} has {counts[largest] / counts[smallest]:.1f} times as many images as {smallest}: "
                "accuracy alone will flatter the model."
            )
    few = [f"{label} ({count})" for label, count in counts.items() if count < ENOUGH_IMAGES]
    if few:
        yield f"Under {ENOUGH_IMAGES} images a class: {some(few)}. Figures for these will vary a lot."
    tiny = sum(min(size) < MIN_SIDE_PIXELS for size in zip(widths, heights, strict=True))
    if tiny:
        yield f"{tiny:,} images have a side under {MIN_SIDE_PIXELS} pixels: most models will enlarge them."
    if len(dataset.unreadable):
        yield f"{len(dataset.unreadable):,} files are left out as unreadable."
    if dataset.conflicts():
        yield "The same picture has different labels: correct them, or remove all but one."
    if crossing:
        yield "The same picture is in two splits: figures on the later one will flatter the model."
    if largest_group > max(2, MAX_GROUP_SHARE * len(dataset)):
        yield (
            f"One group holds {largest_group:,} images, which all go to one split. If they only resemble "
            "each other, prescribe the splits with folders or a table."
        )
    if not counts and len(dataset) < ENOUGH_IMAGES:
        yield f"{len(dataset):,} images are few; about {ENOUGH_IMAGES} are enough to have some in each split."
    try:
        dataset.require_all_classes()
    except DataError as error:
        yield error.detail


def _range(values: tuple[float, float, float]) -> str:
    smallest, middle, largest = values
    return f"{smallest:g} to {largest:g} pixels, median {middle:g}"


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _list(title: str, items: Sequence[str]) -> list[str]:
    more = [f"  … and {len(items) - _LISTED:,} more"] if len(items) > _LISTED else []
    return [f"{title}: {len(items):,}", *(f"  {item}" for item in items[:_LISTED]), *more]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    ]
