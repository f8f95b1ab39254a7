"""From the names of files to classes and splits: `class/image`, `split/class/image`, or flat."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from phototriage.images.pixels import IMAGE_SUFFIXES
from training.sources.files import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


class NoClassesError(DataError):
    """Labels are asked for, and the source has none."""

    code: ClassVar[str] = "no_classes"
    title: ClassVar[str] = "The images have no classes"


@dataclass(frozen=True)
class Entry:
    """One image of a source, not yet read. None: the source doesn't say."""

    key: str  # its name in the source
    label: str | None = None
    split: Split | None = None
    group: str | None = None  # entries of the same name stay together


@dataclass(frozen=True)
class Layout:
    entries: tuple[Entry, ...]  # sorted by key
    names: tuple[str, ...]  # the file of each entry
    classes: frozenset[str]  # also those without an image
    strays: tuple[tuple[str, str], ...]  # (key, reason)


def is_image_name(name: str) -> bool:
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in IMAGE_SUFFIXES


def arrange(names: Sequence[str], folders: Collection[str], labelled: bool) -> Layout:
    """Classes and splits by folder.

    A single leading folder is stripped from keys, so that a folder and its tar give the same keys. Files
    without an image's suffix, and images outside a class folder, are strays.

    labelled=False reads any depth as one flat set; split folders are honoured all the same.
    Raises DataError where there is no image, NoClassesError where none lies in a class folder.
    """
    images = sorted(name for name in names if is_image_name(name))
    if not images:
        raise DataError(
            f"There is no image among {len(names):,} files. Names must end in one of "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    lead = _leading_folder(images, folders)
    splits = _split_folders(images, len(lead))
    strays = [
        (name.removeprefix(lead), "not an image format that is read, by its name")
        for name in names
        if not is_image_name(name)
    ]
    placed: list[tuple[Entry, str]] = []
    for name in images:
        key = name.removeprefix(lead)
        parts = key.split("/")
        split = SPLIT_NAMES[parts[0].lower()] if splits else None
        inner = parts[1:] if splits else parts
        if not labelled:
            placed.append((Entry(key, None, split), name))
        elif len(inner) > 1:
            placed.append((Entry(key, inner[0], split), name))
        else:
            strays.append((key, "lies outside a class folder"))
    if not placed:
        where = f"in the one folder {lead[:-1]}" if lead else "outside class folders"
        raise NoClassesError(
            f"The {len(images):,} images lie {where}: there are no classes to tell apart. Sort them into "
            "class/image or split/class/image, two classes or more; an embedder or autoencoder needs none."
        )
    classes = _class_folders(folders, lead, splits) | {entry.label for entry, _ in placed if entry.label}
    entries, files = zip(*placed, strict=True)
    return Layout(entries, files, frozenset(classes if labelled else ()), tuple(sorted(strays)))


def _leading_folder(images: Sequence[str], folders: Collection[str]) -> str:
    """The folders, with a closing slash, that hold everything. A split folder or the only class isn't one."""
    lead = ""
    while True:
        first, slash, _ = images[0][len(lead) :].partition("/")
        inside = f"{lead}{first}/"
        siblings = {folder for folder in folders if folder.startswith(lead) and "/" not in folder[len(lead) :]}
        shared = all(name.startswith(inside) for name in images) and siblings <= {inside[:-1], ""}
        if not slash or not shared or first.lower() in SPLIT_NAMES:
            return lead
        lead = inside


def _split_folders(images: Sequence[str], skip: int) -> bool:
    """Whether every image lies in a split's folder: a class may be called `test` too."""
    heads = [name[skip:].split("/") for name in images]
    return all(len(parts) > 1 and parts[0].lower() in SPLIT_NAMES for parts in heads)


def _class_folders(folders: Collection[str], lead: str, splits: bool) -> set[str]:
    inside = [folder.removeprefix(lead).split("/") for folder in folders if folder.startswith(lead)]
    depth = 2 if splits else 1
    return {
        parts[-1] for parts in inside if len(parts) == depth and (not splits or parts[0].lower() in SPLIT_NAMES)
    } - {""}
