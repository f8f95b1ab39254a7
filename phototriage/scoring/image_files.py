"""Many image files: found below a folder, embedded in small batches."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError, TooLarge, UnreadableFile
from phototriage.common.progress import Progress
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.triage.pipeline import prepare_for

BATCH = 16  # images in memory at once

Failure = PhototriageError | OSError


@dataclass(frozen=True)
class Embedded:
    """Embeddings float32 (N, D), a row for each of `paths`, and why there is none of the others."""

    paths: list[Path]
    vectors: NDArray[np.float32]
    failures: dict[Path, str]


def find(folder: Path, report: Callable[[Path, OSError], None]) -> list[Path]:
    """Image files at any depth below `folder` by their suffix, relative to it, in the order of their names.

    Hidden files and folders are left out, links to folders are not followed. A folder that can't be read is
    reported.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=lambda error: report(Path(str(error.filename)), error)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place, name) for name in names if not name.startswith(".")]
        found += [
            path.relative_to(folder) for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        ]
    return sorted(found, key=lambda path: path.as_posix())


def embed_files(
    model: Embedder, paths: Sequence[Path], limits: ImageLimits, progress: Progress, root: Path | None = None
) -> Embedded:
    """The embeddings of image files, in their order, with BATCH images in memory at once. `paths` that are relative
    start at `root`. Files that can't be read are left out and told of."""
    vectors = np.empty((len(paths), sum(model.manifest.embedding_parts)), np.float32)
    kept: list[Path] = []
    failures: dict[Path, str] = {}
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            try:
                content = read_file(path if root is None else root / path, limits)
                images.append(prepare_for(model, content, limits).pixels)
            except (PhototriageError, OSError) as error:
                failures[path] = reason(error)
            else:
                kept.append(path)
        if images:
            vectors[len(kept) - len(images) : len(kept)] = model.embed(np.stack(images))
        progress.step(len(paths[start : start + BATCH]))
    return Embedded(kept, vectors[: len(kept)], failures)


def reason(error: Failure) -> str:
    """What to tell of a failure, without a path."""
    return error.detail if isinstance(error, PhototriageError) else error.strerror or str(error)


def read_file(path: Path, limits: ImageLimits) -> bytes:
    """A file's bytes; one over the limit is refused before it fills the memory, and what isn't a file, as a pipe,
    before it is waited for. Raises OSError, TooLarge, UnreadableFile."""
    with open(path, "rb", 0, opener=_at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise UnreadableFile("It is no file but a folder, a pipe or a device. Take it away, or name another.")
        if about.st_size > limits.max_bytes:
            raise TooLarge(
                f"The image has {about.st_size} bytes, and the limit is {limits.max_bytes}. Take a smaller file."
            )
        return file.readall()


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
