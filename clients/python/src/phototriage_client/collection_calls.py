"""The routes of collections, as `calls` has the others.

All are repeatable. A photo that is added twice with the same id is there once. What changes something, and is asked
again since its answer was lost, answers `changed` where it is so now: most likely the lost attempt has done it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from phototriage_client import collection_answers as answers
from phototriage_client.calls import BYTES, JSON, Call, query_of
from phototriage_client.collection_answers import ChangedResponse
from phototriage_client.embedding import Embedding
from phototriage_client.errors import UnknownCollection, UnknownPhoto
from phototriage_client.ids import Tags, check_group, check_id, joined
from phototriage_client.picture import Picture
from phototriage_client.replies import json_of
from phototriage_client.side import Side

COLLECTIONS = "/v1/collections"
_CHANGED = ChangedResponse(changed=True)


@dataclass(frozen=True)
class AddOptions:
    """The query of an addition; what is None is left to the server."""

    tags: Tags = ()
    if_new: bool = False
    threshold: float | None = None
    min_probability: float | None = None

    def query(self, id: str | None = None) -> dict[str, str]:
        return query_of(
            id=id,
            tags=joined(self.tags),
            if_new="true" if self.if_new else None,
            threshold=self.threshold,
            min_probability=self.min_probability,
        )


@dataclass(frozen=True)
class QueryOptions:
    """The query of a search; what is None is left to the server."""

    top_k: int = 10
    tags: Tags = ()
    id: str | None = None
    threshold: float | None = None
    min_probability: float | None = None

    def query(self) -> dict[str, str]:
        own = None if self.id is None else check_id(self.id)
        return query_of(**vars(self) | {"tags": joined(self.tags), "id": own})


def collections() -> Call[answers.CollectionsResponse]:
    return Call("GET", COLLECTIONS, json_of(answers.CollectionsResponse))


def create(name: str, model: str | None) -> Call[answers.CollectionInfo]:
    return Call("PUT", _of(name), json_of(answers.CollectionInfo), query_of(model=model))


def info(name: str) -> Call[answers.CollectionInfo]:
    return Call("GET", _of(name), json_of(answers.CollectionInfo))


def delete(name: str) -> Call[ChangedResponse]:
    return _change("DELETE", _of(name), done_by=UnknownCollection.known_code)


def add(name: str, side: Side, id: str, options: AddOptions) -> Call[answers.AddResponse]:
    body, media = _body(side)
    query = options.query(check_id(id))
    return Call("POST", f"{_of(name)}/photos", json_of(answers.AddResponse), query, body, media)


def add_batch(
    name: str, pictures: Iterable[tuple[str, Picture]], options: AddOptions
) -> Call[answers.AddBatchResponse]:
    form = [("images", (id, picture.content, BYTES)) for id, picture in pictures]
    return Call("POST", f"{_of(name)}/batch", json_of(answers.AddBatchResponse), options.query(), form=form)


def add_embeddings(
    name: str, embeddings: Iterable[tuple[str, Embedding]], options: AddOptions, tags_of: Mapping[str, Tags]
) -> Call[answers.AddBatchResponse]:
    photos = [_kept(each, id=check_id(id), tags=_each(tags_of.get(id, ()))) for id, each in embeddings]
    read = json_of(answers.AddBatchResponse)
    return Call("POST", f"{_of(name)}/batch", read, options.query(), _photos(photos), JSON)


def query(name: str, side: Side, options: QueryOptions) -> Call[answers.CollectionQueryResponse]:
    body, media = _body(side)
    read = json_of(answers.CollectionQueryResponse)
    return Call("POST", f"{_of(name)}/query", read, options.query(), body, media)


def query_batch(name: str, pictures: Iterable[Picture], options: QueryOptions) -> Call[answers.QueryBatchResponse]:
    form = [("images", (picture.name, picture.content, BYTES)) for picture in pictures]
    return Call("POST", f"{_of(name)}/query/batch", json_of(answers.QueryBatchResponse), options.query(), form=form)


def query_embeddings(
    name: str, embeddings: Iterable[tuple[str | None, Embedding]], options: QueryOptions
) -> Call[answers.QueryBatchResponse]:
    photos = [_kept(each) if id is None else _kept(each, id=check_id(id)) for id, each in embeddings]
    read = json_of(answers.QueryBatchResponse)
    return Call("POST", f"{_of(name)}/query/batch", read, options.query(), _photos(photos), JSON)


def photo(name: str, id: str, embedding: bool) -> Call[answers.CollectionPhoto]:
    query = query_of(embedding="true" if embedding else None)
    return Call("GET", _of_photo(name, id), json_of(answers.CollectionPhoto), query)


def delete_photo(name: str, id: str) -> Call[ChangedResponse]:
    return _change("DELETE", _of_photo(name, id), done_by=UnknownPhoto.known_code)


def photos(name: str, after: int | None, page_size: int | None, tags: Tags) -> Call[answers.IdsResponse]:
    query = query_of(after=after, limit=page_size, tags=joined(tags))
    return Call("GET", f"{_of(name)}/photos", json_of(answers.IdsResponse), query)


def groups(name: str, after: int | None, page_size: int | None, limit_ids: int | None) -> Call[answers.GroupsResponse]:
    query = query_of(after=after, limit=page_size, limit_ids=limit_ids)
    return Call("GET", f"{_of(name)}/groups", json_of(answers.GroupsResponse), query)


def group(name: str, group: str, after: int | None, page_size: int | None) -> Call[answers.IdsResponse]:
    query = query_of(after=after, limit=page_size)
    return Call("GET", f"{_of(name)}/groups/{check_group(group)}", json_of(answers.IdsResponse), query)


def not_duplicates(name: str, after: int | None, page_size: int | None) -> Call[answers.NotDuplicatesResponse]:
    query = query_of(after=after, limit=page_size)
    return Call("GET", f"{_of(name)}/not_duplicates", json_of(answers.NotDuplicatesResponse), query)


def mark_not_duplicates(name: str, a: str, b: str) -> Call[ChangedResponse]:
    return _change("PUT", f"{_of(name)}/not_duplicates", query_of(a=check_id(a), b=check_id(b)))


def unmark_not_duplicates(name: str, a: str, b: str) -> Call[ChangedResponse]:
    return _change("DELETE", f"{_of(name)}/not_duplicates", query_of(a=check_id(a), b=check_id(b)))


def _change(
    method: str, path: str, query: Mapping[str, str] | None = None, done_by: str | None = None
) -> Call[ChangedResponse]:
    return Call(method, path, json_of(ChangedResponse), query or {}, if_repeated=_CHANGED, done_by=done_by)


def _of(name: str) -> str:
    return f"{COLLECTIONS}/{quote(name, safe='')}"


def _of_photo(name: str, id: str) -> str:
    return f"{_of(name)}/photos/{quote(check_id(id), safe='')}"


def _kept(embedding: Embedding, **more: object) -> dict[str, object]:
    """One of a batch, as the JSON body has it."""
    return {"embedding": embedding.model_dump(exclude_none=True), **more}


def _each(tags: Tags) -> list[str]:
    text = joined(tags)
    return [] if text is None else text.split(",")


def _photos(photos: Sequence[dict[str, object]]) -> bytes:
    return json.dumps({"photos": photos}).encode()


def _body(side: Side) -> tuple[bytes, str]:
    """With its media type."""
    return (side.to_json().encode(), JSON) if isinstance(side, Embedding) else (side.content, BYTES)
