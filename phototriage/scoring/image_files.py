"""Image files: found below a folder, read within limits, embedded in small batches."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError, TooLarge, UnreadableFile
from phototriage.common.progress import Progress
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.pipeline import embedder_input
from phototriage.verification.signature_cache import SignatureCache

BATCH = 16  # images in memory at once

Failure = PhototriageError | OSError


@dataclass(frozen=True)
class Embedded:
    """Embeddings float32 (N, D), one for each of `paths`, and the reasons why the other files have none."""

    paths: list[Path]
    vectors: NDArray[np.float32]
    failures: dict[Path, str]
    signatures: list[bytes]  # encoded; none where the model doesn't verify
    _decoded: SignatureCache = field(default_factory=SignatureCache)

    def image(self, place: int) -> EmbeddedImage:
        """What is compared of the image at that place among `paths`."""
        return EmbeddedImage(self.vectors[place], self._decoded(self.signatures[place]) if self.signatures else None)


def find(folder: Path, report: Callable[[Path, OSError], None]) -> list[Path]:
    """Image files at any depth below `folder`, by their suffix: paths relative to it, in the order of their names.

    Hidden files and folders are left out, links to folders are not followed. `report` is called for each folder that
    can't be read.
    """
    paths = []
    for place, folders, names in os.walk(folder, onerror=lambda error: report(Path(str(error.filename)), error)):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = [Path(place, name) for name in names if not name.startswith(".")]
        paths += [
            path.relative_to(folder) for path in files if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        ]
    return sorted(paths, key=lambda path: path.as_posix())


def embed_files(
    model: Embedder, paths: Sequence[Path], limits: ImageLimits, progress: Progress, root: Path | None = None
) -> Embedded:
    """Embed image files, in their order, with BATCH images in memory at once. Relative `paths` start at `root`.

    Files that can't be read are left out, and are among the result's failures.
    """
    vectors = np.empty((len(paths), sum(model.manifest.embedding_parts)), np.float32)
    embedded: list[Path] = []
    failures: dict[Path, str] = {}
    signatures: list[bytes] = []
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            try:
                content = read_file(path if root is None else root / path, limits)
                pixels, signed = embedder_input(model, content, limits)
            except (PhototriageError, OSError) as error:
                failures[path] = reason(error)
            else:
                images.append(pixels)
                embedded.append(path)
                signatures += [] if signed is None else [signed]
        if images:
            vectors[len(embedded) - len(images) : len(embedded)] = model.embed(np.stack(images))
        progress.step(len(paths[start : start + BATCH]))
    return Embedded(embedded, vectors[: len(embedded)], failures, signatures)


def reason(error: Failure) -> str:
    """A failure in words, without a path."""
    return error.detail if isinstance(error, PhototriageError) else error.strerror or str(error)


def read_file(path: Path, limits: ImageLimits) -> bytes:
    """A file's bytes. A file over the limit is refused before it is read, and a pipe or a device before reading would
    block. Raises OSError, TooLarge, UnreadableFile."""
    with open(path, "rb", 0, opener=_open_without_blocking) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile("It is no file but a folder, a pipe or a device. Take it away, or name another.")
        if status.st_size > limits.max_bytes:
            raise TooLarge(
                f"The image has {status.st_size} bytes, and the limit is {limits.max_bytes}. Take a smaller file."
            )
        return file.readall()


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
