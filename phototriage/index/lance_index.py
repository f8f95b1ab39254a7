"""The embeddings of more images than one machine holds, in a LanceDB table on a disk or in an object store.

LanceDB (Apache-2.0) is optional: `pip install -e .[batch]`. It finds candidates by an approximate search, and their
similarities are computed exactly. Any number of machines may add and query at once, so a query sees the images that
were added before it. Nothing is verified here: a table holds no signatures, and similarities alone decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.duplicates import layout
from phototriage.index.folder import IndexedModel
from phototriage.index.search import Neighbour, similarities_to

Floats = NDArray[np.float32]

TABLE, NAME, MADE_BY = "images", "name", b"phototriage_model"
PARTS = ("seen", "placed")  # the table's columns: the embedding, and the layout if there is layout re-scoring
COUNTS = (64, 32)  # candidates by each column
QUERIES = 256  # of one search: many in one search take less time each
MIN_INDEXED_ROWS = 10_000  # fewer rows are searched exactly, without an index


class LanceIndex:
    """A table of images, with an index of each part of their embeddings: IVF and HNSW over one byte a number."""

    def __init__(self, table: Any, model: IndexedModel) -> None:
        self._table, self.model = table, model
        self._names = PARTS[: len(model.parts)]

    @classmethod
    def open(cls, place: str, model: IndexedModel, storage_options: Mapping[str, str] | None = None) -> Self:
        """Open the table at `place`, a folder or an address such as s3://bucket/index; without one, create it.

        storage_options: as LanceDB takes them. Raises IndexFolderError if the table is of another model or threshold,
        or if lancedb isn't installed.
        """
        if find_spec("lancedb") is None:
            raise IndexFolderError("LanceDB isn't installed. Install it: pip install 'phototriage[batch]'")
        database = import_module("lancedb").connect(place, storage_options=dict(storage_options or {}))
        model = model.unverified()
        schema = _schema(model)
        if TABLE in database.list_tables().tables:
            table = database.open_table(TABLE)
        else:
            table = database.create_table(TABLE, schema=schema, exist_ok=True)
        description = (table.schema.metadata or {}).get(MADE_BY)
        versions = (model.version, *model.same_embeddings_as)
        same = [model.model_copy(update={"version": version}).model_dump_json().encode() for version in versions]
        if description not in same:
            raise IndexFolderError(
                f"The index {place} is of {_describe_model(description)}, and {model.name!r}, version "
                f"{model.version!r}, threshold {model.threshold}, was asked for; embeddings of two versions can't be "
                "compared. Name a new place, and score the images again to fill it."
            )
        return cls(table, model)

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def add(self, names: Sequence[str], vectors: Floats) -> None:
        """Add images with their embeddings float32 (N, D). An image replaces one of the same name, so adding again what
        was added before a process died changes nothing. Raises ValueError for vectors that can't be the model's."""
        if len(names) != len(vectors):
            raise ValueError(f"{len(names)} names came with {len(vectors)} vectors; each needs one")
        self.model.check(vectors)
        last_places = {name: place for place, name in enumerate(names)}
        if last_places:
            rows = _arrow_table(list(last_places), vectors[list(last_places.values())], self.model)
            self._table.merge_insert(NAME).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def build(self) -> None:
        """Index the rows that aren't indexed yet, which until then are searched exactly. Call it from one machine, from
        time to time."""
        if len(self) < MIN_INDEXED_ROWS:
            return
        if self._table.list_indices():
            self._table.optimize()
            return
        lancedb_index = import_module("lancedb.index")
        self._table.create_index(NAME, config=lancedb_index.BTree())
        for column in self._names:
            self._table.create_index(column, config=lancedb_index.HnswSq(distance_type="dot"))

    def query(self, vectors: Floats, count: int = 1, own: Sequence[str] | None = None) -> list[list[Neighbour]]:
        """For each of `vectors` (Q, D) the `count` most similar images, the most similar first, of equally similar ones
        the first by name.

        own: the images' own names (Q,); no image is its own neighbour. Raises ValueError for vectors that can't be the
        model's.
        """
        if count < 1:
            raise ValueError(f"{count} neighbours were asked for; ask for 1 or more")
        self.model.check(vectors)
        if own is not None and len(own) != len(vectors):
            raise ValueError(f"{len(own)} names came with {len(vectors)} vectors; each needs one")
        neighbours: list[list[Neighbour]] = []
        for start in range(0, len(vectors), QUERIES):
            block = vectors[start : start + QUERIES].astype(np.float32, copy=False)
            candidates_of_block = self._candidates(block, count + 1)
            for number, (vector, embeddings) in enumerate(zip(block, candidates_of_block, strict=True), start):
                if own is not None:
                    embeddings.pop(own[number], None)
                neighbours.append(self._best(vector, embeddings, count))
        return neighbours

    def _best(self, vector: Floats, embeddings: Mapping[str, Floats], count: int) -> list[Neighbour]:
        if not embeddings:
            return []
        others = np.stack(list(embeddings.values()))
        similarity = similarities_to(vector, others, self.model.layout_rescoring)
        order = sorted(zip((-similarity).tolist(), embeddings, strict=True))[:count]
        return [Neighbour(name, -negative) for negative, name in order]

    def _candidates(self, vectors: Floats, least: int) -> list[dict[str, Floats]]:
        """For each of `vectors` (Q, D) the images that may be similar: embeddings (D,) by name."""
        candidates: list[dict[str, Floats]] = [{} for _ in vectors]
        width = self.model.parts[0]
        for column, count in zip(self._names, COUNTS, strict=False):
            queries = [vectors[:, :width]]
            if column != PARTS[0]:
                layouts = vectors[:, width:]
                mirrored = np.concatenate([layouts[:, : layout.EVEN], -layouts[:, layout.EVEN :]], axis=1)
                queries = [layouts, mirrored]
            for values in queries:
                self._search(column, values, max(count, least), candidates)
        return candidates

    def _search(self, column: str, values: Floats, count: int, candidates: list[dict[str, Floats]]) -> None:
        """Search a column by `values` (Q, d), and add what is found to the candidates of each query."""
        # A plain surface has no layout: its columns are all zero, and it has no neighbours by them.
        filled = np.flatnonzero(values.any(axis=1))
        if not len(filled):
            return
        query = self._table.search([values[number] for number in filled], vector_column_name=column)
        rows = query.distance_type("dot").limit(count).select([NAME, *self._names, "_distance"]).to_arrow()
        if not len(rows):
            return
        query_numbers = (
            rows["query_index"].to_numpy() if "query_index" in rows.column_names else np.zeros(len(rows), int)
        )
        columns = [rows[part].combine_chunks().flatten().to_numpy().reshape(len(rows), -1) for part in self._names]
        for number, name, vector in zip(filled[query_numbers], rows[NAME].to_pylist(), np.hstack(columns), strict=True):
            candidates[number][name] = vector


def _schema(model: IndexedModel) -> Any:
    arrow = import_module("pyarrow")
    sizes = zip(PARTS, model.parts, strict=False)
    fields = [arrow.field(name, arrow.list_(arrow.float32(), size), nullable=False) for name, size in sizes]
    metadata = {MADE_BY: model.model_dump_json().encode()}
    return arrow.schema([arrow.field(NAME, arrow.string(), nullable=False), *fields], metadata=metadata)


def _arrow_table(names: list[str], vectors: Floats, model: IndexedModel) -> Any:
    arrow = import_module("pyarrow")
    columns = [arrow.array(names, arrow.string())]
    for end, size in zip(np.cumsum(model.parts), model.parts, strict=True):
        values = arrow.array(np.ascontiguousarray(vectors[:, end - size : end], np.float32).ravel())
        columns.append(arrow.FixedSizeListArray.from_arrays(values, size))
    return arrow.Table.from_arrays(columns, schema=_schema(model))


def _describe_model(description: bytes | None) -> str:
    if description is None:
        return "no model that is known"
    model = IndexedModel.model_validate_json(description)
    return f"{model.name!r}, version {model.version!r}, threshold {model.threshold}"
