"""The routes of collections, as `calls` has the others.

All are repeatable. A photo that is added twice with the same id is there once. What changes something, and is asked
again since its answer was lost, answers `changed` where it is so now: most likely the lost attempt has done it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from phototriage_client import collection_answers as answers
from phototriage_client.calls import BYTES, JSON, Call, query_of
from phototriage_client.collection_answers import ChangedResponse
from phototriage_client.embedding import Embedding
from phototriage_client.errors import UnknownCollection, UnknownPhoto, UnsendableId
from phototriage_client.picture import Picture
from phototriage_client.replies import json_of
from phototriage_client.side import Side

Tags: TypeAlias = Sequence[str]

COLLECTIONS = "/v1/collections"
MOST_OF_A_FILE_NAME = 255  # characters, of which the server takes no more
# Senders and receivers of forms differ on how these are written in a file's name.
# Browsers write a quotation mark as %22, and so the server reads it.
_NOT_IN_A_FILE_NAME = re.compile(r'["\\\x00-\x1f\x7f]|%(?:22|0a|0d)', re.IGNORECASE)
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
            tags=_joined(self.tags),
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
        return query_of(**vars(self) | {"tags": _joined(self.tags), "id": own})


def check_name(name: str) -> str:
    """A collection's name. Which may be one the server says, but none may lead to another route. Raises ValueError."""
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"a collection can't be called {name!r}: take lower-case letters, digits, '_', '.' and '-'")
    return name


def check_id(id: str) -> str:
    """A photo's id, in which the server allows what this does but for control characters. Raises UnsendableId."""
    if not isinstance(id, str):
        raise UnsendableId(f"A photo's id is text, and {id!r} is {type(id).__name__!r}. Give str(…) of it.")
    if id in ("", ".", ".."):
        raise UnsendableId(f"A photo can't be known by {id!r}, which no address can end with. Take another id.")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise UnsendableId(f"The id {id!r} has characters that UTF-8 can't say. Take another id.") from None
    return id


def check_file_name(id: str) -> str:
    """An id that a batch can hold. Raises UnsendableId."""
    if _NOT_IN_A_FILE_NAME.search(check_id(id)) or len(id) > MOST_OF_A_FILE_NAME:
        raise UnsendableId(
            f"A batch can't hold the id {id!r}, since file names carry them: at most {MOST_OF_A_FILE_NAME} characters, "
            "without quotation marks, backslashes and control characters, and without %22, %0A and %0D, which stand "
            "for such. Add that photo by itself."
        )
    return id


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


def query(name: str, side: Side, options: QueryOptions) -> Call[answers.CollectionQueryResponse]:
    body, media = _body(side)
    read = json_of(answers.CollectionQueryResponse)
    return Call("POST", f"{_of(name)}/query", read, options.query(), body, media)


def photo(name: str, id: str, embedding: bool) -> Call[answers.CollectionPhoto]:
    query = query_of(embedding="true" if embedding else None)
    return Call("GET", _of_photo(name, id), json_of(answers.CollectionPhoto), query)


def delete_photo(name: str, id: str) -> Call[ChangedResponse]:
    return _change("DELETE", _of_photo(name, id), done_by=UnknownPhoto.known_code)


def photos(name: str, after: int | None, page_size: int | None, tags: Tags) -> Call[answers.IdsResponse]:
    query = query_of(after=after, limit=page_size, tags=_joined(tags))
    return Call("GET", f"{_of(name)}/photos", json_of(answers.IdsResponse), query)


def groups(name: str, after: int | None, page_size: int | None) -> Call[answers.GroupsResponse]:
    query = query_of(after=after, limit=page_size)
    return Call("GET", f"{_of(name)}/groups", json_of(answers.GroupsResponse), query)


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


def _body(side: Side) -> tuple[bytes, str]:
    """With its media type."""
    return (side.to_json().encode(), JSON) if isinstance(side, Embedding) else (side.content, BYTES)


def _joined(tags: Tags) -> str | None:
    """As the query has them; a text is taken as it is. Raises ValueError for a tag that would become another."""
    if isinstance(tags, str):
        return tags or None
    for tag in tags:
        if not tag or "," in tag:
            raise ValueError(f"a tag can't be {tag!r}: tags are told apart by commas, and none is empty")
    return ",".join(tags) or None
