"""A collection as a Parquet file, and back: of the columns that `phototriage score` writes, so that what was scored can
become a collection, with `tags`, `group` and `added_at` beside them. Needs pyarrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from phototriage.collections.photos import MOST_OF_A_TAG, MOST_TAGS, TAG, KeptPhoto, check_id
from phototriage.collections.store import Store
from phototriage.common.atomic_writes import atomic_file
from phototriage.common.errors import MalformedRequest, TooLarge
from phototriage.index.folder import IndexedModel
from phototriage.verification.signature import decode

AT_ONCE = 1000  # photos
MARKED = b"phototriage.not_duplicates"  # of the file's metadata: pairs of ids, as JSON
_EMBEDDING = pa.struct(
    {
        "model": pa.string(),
        "version": pa.string(),
        "dimension": pa.int32(),
        "values": pa.list_(pa.float32()),
        "signature": pa.binary(),
    }
)
SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "embed": pa.struct({"embedding": _EMBEDDING}),
        "tags": pa.list_(pa.string()),
        "group": pa.string(),
        "added_at": pa.float64(),
    }
)


class Taken(NamedTuple):
    """What came of an import: photos that were taken, and rows that had no embedding, as of images that failed."""

    photos: int
    passed_over: int


def write(store: Store, path: Path, step: Callable[[int], None]) -> int:
    """Write all photos, in the order in which they came. Returns how many; `step` is called with the number that was
    written since. Raises OSError, StoreUnavailable."""
    schema = SCHEMA.with_metadata({MARKED: json.dumps(list(_marked(store))).encode()})
    count, after = 0, -1
    with atomic_file(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as file:
        while photos := store.photos_after(after, AT_ONCE):
            rows = [_row(store.description.model, photo) for photo in photos]
            file.write_table(pa.Table.from_pylist(rows, schema))
            count, after = count + len(photos), photos[-1].row
            step(len(photos))
    return count


def _marked(store: Store) -> Iterator[tuple[str, ...]]:
    after: int | None = -1
    while after is not None:
        page = store.list_marked(after, AT_ONCE)
        yield from page.items
        after = page.after


def _row(model: IndexedModel, photo: KeptPhoto) -> dict[str, Any]:
    embedding = {
        "model": model.name,
        "version": model.version,
        "dimension": len(photo.vector),
        "values": photo.vector,
        "signature": photo.signature,
    }
    kept = {"tags": list(photo.tags), "group": str(photo.group), "added_at": photo.added_at}
    return {"name": photo.id, "embed": {"embedding": embedding}, **kept}


def read(store: Store, path: Path, step: Callable[[int], None], most: int = 1_000_000) -> Taken:
    """Take all photos of a file that `write` or `phototriage score --include embed` has written. They are compared with
    nothing: their groups are those of the file, of `near_duplicates` where it is a score's. A photo that has the id of
    one that is there replaces it. `step` as of `write`.

    Raises MalformedRequest for another file, or one of another model; what came before is taken then. OSError,
    StoreUnavailable.
    """
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise MalformedRequest(f"{path} is no Parquet file that can be read ({error}).") from error
    names = set(file.schema_arrow.names)
    if not {"name", "embed"} <= names:
        raise MalformedRequest(
            f"{path} has the columns {', '.join(sorted(names))}; `name` and `embed` are needed. Give a file of "
            "`phototriage collection export`, or of `phototriage score --include embed`."
        )
    columns = [name for name in ("name", "embed", "tags", "group", "added_at", "near_duplicates") if name in names]
    taken, passed_over, groups = 0, 0, dict[str, int]()
    for batch in file.iter_batches(AT_ONCE, columns=columns):
        photos = []
        for row in batch.to_pylist():
            if row["embed"] is None:
                passed_over += 1
                continue
            try:
                photos.append((_photo(store.description.model, path, row), _group(row)))
            except (TypeError, KeyError) as error:
                raise MalformedRequest(f"{path}, {row['name']!r}: it isn't what an export writes ({error}).") from error
        if store.counts().photos + len(photos) > most:
            raise TooLarge(f"With {path} the collection would have more than {most} photos, which is the limit.")
        store.load(photos, groups)
        taken += len(photos)
        step(batch.num_rows)
    metadata = file.schema_arrow.metadata or {}
    for a, b in json.loads(metadata.get(MARKED, b"[]")):
        store.mark(a, b)
    return Taken(taken, passed_over)


def _group(row: Mapping[str, Any]) -> str | None:
    if row.get("group") is not None:
        return str(row["group"])
    found = row.get("near_duplicates")
    return None if found is None else found["group"]


def _photo(model: IndexedModel, path: Path, row: Mapping[str, Any]) -> KeptPhoto:
    """As it is to be kept, but for row and group. Raises MalformedRequest."""
    embedding = row["embed"]["embedding"]
    version, name = embedding["version"], row["name"]
    if version not in (model.version, *model.same_embeddings_as):
        raise MalformedRequest(
            f"{path} has embeddings of {embedding['model']!r}, version {version}, and the collection is of "
            f"{model.name!r}, version {model.version}. Make a collection of that version, or score the photos again."
        )
    vector, signature = np.array(embedding["values"], np.float32), embedding["signature"]
    tags = tuple(dict.fromkeys(row.get("tags") or ()))
    wrong = [tag for tag in tags if not re.fullmatch(TAG, tag) or len(tag) > MOST_OF_A_TAG]
    if wrong or len(tags) > MOST_TAGS:
        raise MalformedRequest(f"{path}, {name!r}: it has {len(tags)} tags, and can't have {wrong[:1]}.")
    try:
        model.check(vector[np.newaxis])
        if signature is not None:
            decode(signature)
    except ValueError as error:
        raise MalformedRequest(f"{path}, {name!r}: {error}.") from error
    return KeptPhoto(
        id=check_id(name),
        vector=vector,
        signature=signature,
        tags=tags,
        row=-1,
        group=-1,
        added_at=row.get("added_at") or time(),
    )
