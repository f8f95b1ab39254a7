"""The embeddings of more images than one machine holds, in a LanceDB table on a disk or in an object store.

LanceDB (Apache-2.0) is optional: `pip install -e .[batch]`. It names candidates, and their similarities are worked out
as exactly as everywhere. Any number of machines may add and ask at once, so "earlier" means: there when asked.
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
PARTS = ("seen", "placed")  # columns: the embedding, and the layout if there is layout re-scoring
COUNTS = (64, 32)  # candidates by each
QUERIES = 256  # at once: a search of several takes less time for each
LEAST = 10_000  # rows from which an index is built; fewer are compared one by one


class LanceIndex:
    """One table, and an index (IVF and HNSW over one byte a number) of each part of an embedding."""

    def __init__(self, table: Any, model: IndexedModel) -> None:
        self._table, self.model = table, model
        self._names = PARTS[: len(model.parts)]

    @classmethod
    def open(cls, place: str, model: IndexedModel, storage_options: Mapping[str, str] | None = None) -> Self:
        """The table at `place`, a folder or an address such as s3://bucket/index; it is made if there is none.

        storage_options: as LanceDB takes them. Raises IndexFolderError if it is of another model or threshold, or
        without lancedb.
        """
        if find_spec("lancedb") is None:
            raise IndexFolderError("LanceDB isn't installed. Install it: pip install 'phototriage[batch]'")
        database = import_module("lancedb").connect(place, storage_options=dict(storage_options or {}))
        schema = _schema(model)
        if TABLE in database.list_tables().tables:
            table = database.open_table(TABLE)
        else:
            table = database.create_table(TABLE, schema=schema, exist_ok=True)
        found = (table.schema.metadata or {}).get(MADE_BY)
        if found != schema.metadata[MADE_BY]:
            raise IndexFolderError(
                f"The index {place} is of {_told(found)}, and {model.name!r}, version {model.version!r}, threshold "
                f"{model.threshold}, was asked for; embeddings of two versions can't be compared. Name a new place, "
                "and score the images again to fill it."
            )
        return cls(table, model)

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def add(self, names: Sequence[str], vectors: Floats) -> None:
        """Images and their embeddings (N, D). One whose name is there already takes its place, so that adding again
        what was added before a process died changes nothing."""
        if len(names) != len(vectors):
            raise ValueError(f"{len(names)} names came with {len(vectors)} vectors; each needs one")
        self.model.check(vectors)
        last = {name: place for place, name in enumerate(names)}
        if last:
            rows = _arrow_table(list(last), vectors[list(last.values())], self.model)
            self._table.merge_insert(NAME).when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def build(self) -> None:
        """Index what isn't indexed yet; until then it is compared one by one. To be called by one machine, now and
        then."""
        if len(self) < LEAST:
            return
        if self._table.list_indices():
            self._table.optimize()
            return
        make = import_module("lancedb.index")
        self._table.create_index(NAME, config=make.BTree())
        for column in self._names:
            self._table.create_index(column, config=make.HnswSq(distance_type="dot"))

    def query(self, vectors: Floats, count: int = 1, own: Sequence[str] | None = None) -> list[list[Neighbour]]:
        """For each of `vectors` (Q, D) the `count` most similar images, the most similar first, of equally similar ones
        the first by name.

        own: what the images are called themselves (Q); no image is its own neighbour.
        """
        if count < 1:
            raise ValueError(f"{count} neighbours were asked for; ask for 1 or more")
        self.model.check(vectors)
        if own is not None and len(own) != len(vectors):
            raise ValueError(f"{len(own)} names came with {len(vectors)} vectors; each needs one")
        found: list[list[Neighbour]] = []
        for start in range(0, len(vectors), QUERIES):
            part = vectors[start : start + QUERIES].astype(np.float32, copy=False)
            candidates = self._candidates(part, count + 1)
            for place, (vector, named) in enumerate(zip(part, candidates, strict=True), start):
                if own is not None:
                    named.pop(own[place], None)
                found.append(self._best(vector, named, count))
        return found

    def _best(self, vector: Floats, named: Mapping[str, Floats], count: int) -> list[Neighbour]:
        if not named:
            return []
        there = np.stack(list(named.values()))
        exact = similarities_to(vector, there, self.model.layout_rescoring)
        order = sorted(zip((-exact).tolist(), named, strict=True))[:count]
        return [Neighbour(name, -value) for value, name in order]

    def _candidates(self, vectors: Floats, least: int) -> list[dict[str, Floats]]:
        """For each of `vectors` (Q, D) the names and embeddings (D) that may be similar."""
        found: list[dict[str, Floats]] = [{} for _ in vectors]
        width = self.model.parts[0]
        for column, count in zip(self._names, COUNTS, strict=False):
            asked = [vectors[:, :width]]
            if column != PARTS[0]:
                placed = vectors[:, width:]
                # A plain surface has no layout, and is near nothing by it.
                mirrored = np.concatenate([placed[:, : layout.EVEN], -placed[:, layout.EVEN :]], axis=1)
                asked = [placed, mirrored]
            for values in asked:
                self._search(column, values, max(count, least), found)
        return found

    def _search(self, column: str, values: Floats, count: int, found: list[dict[str, Floats]]) -> None:
        places = np.flatnonzero(values.any(axis=1))
        if not len(places):
            return
        query = self._table.search([values[place] for place in places], vector_column_name=column)
        rows = query.distance_type("dot").limit(count).select([NAME, *self._names, "_distance"]).to_arrow()
        if not len(rows):
            return
        numbers = rows["query_index"].to_numpy() if "query_index" in rows.column_names else np.zeros(len(rows), int)
        columns = [rows[part].combine_chunks().flatten().to_numpy().reshape(len(rows), -1) for part in self._names]
        for place, name, vector in zip(places[numbers], rows[NAME].to_pylist(), np.hstack(columns), strict=True):
            found[place][name] = vector


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


def _told(found: bytes | None) -> str:
    if found is None:
        return "no model that is known"
    model = IndexedModel.model_validate_json(found)
    return f"{model.name!r}, version {model.version!r}, threshold {model.threshold}"
