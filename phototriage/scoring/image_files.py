"""Image files: read within limits, embedded in small batches."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError, TooLarge, UnreadableFile
from phototriage.common.progress import Progress
from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.triage.embedder_input import embedder_input
from phototriage.triage.embedding import EmbeddedImage
from phototriage.verification.signature_cache import SignatureCache

BATCH = 16  # images in memory at once
_NO_FILE = "It is no file but a folder, a pipe, a socket or a device. Take it away, or name another."

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
    with _open(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(_NO_FILE)
        if status.st_size > limits.max_bytes:
            raise TooLarge(
                f"The image has {status.st_size} bytes, and the limit is {limits.max_bytes}. Take a smaller file."
            )
        return file.readall()


def _open(path: Path) -> io.FileIO:
    try:
        return open(path, "rb", 0, opener=_open_without_blocking)
    except IsADirectoryError as error:
        raise UnreadableFile(_NO_FILE) from error
    except FileNotFoundError as error:
        if path.is_symlink():
            raise UnreadableFile("It is a link to what isn't there. Take it away, or mend it.") from error
        raise
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise UnreadableFile(_NO_FILE) from error
        raise


def _open_without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
