"""The column `near_duplicates` of scores: for each image the nearest that came earlier, and its group.

Rows pass by in the source's order, when all of them are scored, so answers depend neither on how many processes scored
them nor on how often these were killed.
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
from phototriage.scoring.scorer import ScoringFailed, Started
from phototriage.settings import Settings

Key = Callable[[str], str]


class NearDuplicates:
    """Adds the column to tables as they pass by."""

    def __init__(self, index: ImageIndex, model: IndexedModel, run: str, key: Key) -> None:
        """`run` names the batch in the index, `key` gives what the index calls an image."""
        self._batch: Batch = index.begin(run)
        self._model, self._key = model, key

    def add(self, table: pa.Table) -> pa.Table:
        """The table with the column; rows without an embedding have none."""
        embedded = table.filter(table.column("embed").is_valid())
        keys = [self._key(name) for name in embedded.column(NAME).to_pylist()]
        seen = iter(self._batch.add(keys, _vectors(embedded, self._model.dimension)))
        told = {"name": self._model.name, "version": self._model.version}
        rows: list[dict[str, Any] | None] = []
        waiting = iter(keys)
        for there in table.column("embed").is_valid().to_pylist():
            if there:
                found = {"model": told, "image": next(waiting), "threshold": self._model.threshold}
                rows.append({**found, **next(seen)._asdict()})
            else:
                rows.append(None)
        column = pa.array(rows, schema_of((), near_duplicates=True).field(NEAR_DUPLICATES).type)
        return table.append_column(NEAR_DUPLICATES, column)

    def commit(self) -> None:
        """Make the images part of the index."""
        self._batch.commit()


@contextmanager
def opened(folder: Path, settings: Settings, started: Started) -> Iterator[tuple[ImageIndex, IndexedModel]]:
    """The index in that folder, for the embedder that the processes answer with. Raises IndexFolderError,
    ModelFolderError, ScoringFailed."""
    model = IndexedModel.of(embedder_of(settings, started))
    with ImageIndex.open(folder, model, report=lambda text: print(f"phototriage: {text}", file=sys.stderr)) as index:
        yield index, model


def embedder_of(settings: Settings, started: Started) -> manifest.Manifest:
    """The manifest of the embedder among the models that answer."""
    manifests = [manifest.read(settings.models_directory / name) for name in started.versions]
    (found,) = (each for each in manifests if each.kind == "embedder")
    if found.version != started.versions[found.name]:
        raise ScoringFailed(f"{found.name} was replaced while images were scored. Start anew with --restart.")
    return found


def _vectors(table: pa.Table, dimension: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Embeddings float32 (N, D) of a table's rows, all of which have one."""
    values = pc.struct_field(table.column("embed"), ["embedding", "values"])
    flat = pa.chunked_array(values.chunks, values.type).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, dimension)
