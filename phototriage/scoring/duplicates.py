"""The column `near_duplicates` of scores: each image's most similar earlier image, and its group.

It is added after all images are scored, in the source's order, so it depends neither on how many processes scored them
nor on how often these were killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from phototriage.index.image_index import Batch, ImageIndex, IndexedModel
from phototriage.model_folder import manifest
from phototriage.scoring.schema import NAME, NEAR_DUPLICATES, schema_of
from phototriage.scoring.scorer import Capabilities, ScoringFailed
from phototriage.settings import Settings
from phototriage.verification.verifier import read as read_verifier

Key = Callable[[str], str]


class NearDuplicates:
    """Adds the column to the tables of a run, one after another."""

    def __init__(self, index: ImageIndex, model: IndexedModel, run: str, key: Key) -> None:
        """`run` names the batch in the index; `key` maps an image's name to its key in the index."""
        self._batch: Batch = index.begin(run)
        self._model, self._key = model, key
        self._verifies = index.model.verifies

    def add(self, table: pa.Table) -> pa.Table:
        """The table with the column, which is null in rows without an embedding."""
        embedded = table.filter(table.column("embed").is_valid())
        keys = [self._key(name) for name in embedded.column(NAME).to_pylist()]
        signatures = _signatures(embedded) if self._verifies else None
        found = self._batch.add(keys, _vectors(embedded, self._model.dimension), signatures)
        matches = zip(keys, found, strict=True)
        model = {"name": self._model.name, "version": self._model.version}
        rows: list[dict[str, Any] | None] = []
        for is_embedded in table.column("embed").is_valid().to_pylist():
            if is_embedded:
                key, match = next(matches)
                answer = {"verified": match.verified, **match._asdict()}
                rows.append({"model": model, "image": key, "threshold": self._model.threshold, **answer})
            else:
                rows.append(None)
        column = pa.array(rows, schema_of((), near_duplicates=True).field(NEAR_DUPLICATES).type)
        return table.append_column(NEAR_DUPLICATES, column)

    def commit(self) -> None:
        """Make the images part of the index."""
        self._batch.commit()


@contextmanager
def open_index(
    folder: Path, settings: Settings, capabilities: Capabilities
) -> Iterator[tuple[ImageIndex, IndexedModel]]:
    """Open the index in `folder`, of the embedder that the processes answer with.

    Raises IndexFolderError, ModelFolderError, ScoringFailed.
    """
    embedder = embedder_of(settings, capabilities)
    model, verification = IndexedModel.of(embedder), embedder.verification
    verifier = None if verification is None else read_verifier(verification, settings.models_directory / embedder.name)
    with ImageIndex.open(folder, model, verifier=verifier, report=_tell) as index:
        yield index, model


def embedder_of(settings: Settings, capabilities: Capabilities) -> manifest.Manifest:
    """The manifest of the embedder that the processes answer with. Raises ModelFolderError, ScoringFailed."""
    manifests = [manifest.read(settings.models_directory / name) for name in capabilities.versions]
    (embedder,) = (candidate for candidate in manifests if candidate.kind == "embedder")
    if embedder.version != capabilities.versions[embedder.name]:
        raise ScoringFailed(f"{embedder.name} was replaced while images were scored. Start anew with --restart.")
    return embedder


def _tell(message: str) -> None:
    print(f"phototriage: {message}", file=sys.stderr)


def _signatures(table: pa.Table) -> list[bytes]:
    """Encoded signatures (N) of a table's rows, all of which have one."""
    found: list[bytes] = pc.struct_field(table.column("embed"), ["embedding", "signature"]).to_pylist()
    return found


def _vectors(table: pa.Table, dimension: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Embeddings float32 (N, D) of a table's rows, all of which have one."""
    values = pc.struct_field(table.column("embed"), ["embedding", "values"])
    flat = pa.chunked_array(values.chunks, values.type).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, dimension)
