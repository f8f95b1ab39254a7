"""The routes of collections, as `routes` has the others."""

from __future__ import annotations

from pydantic import BaseModel

from phototriage.collections import schemas
from phototriage.common.errors import (
    DeadlineExceeded,
    ForeignCollection,
    ForeignEmbedding,
    MalformedRequest,
    Overloaded,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    UndecodableImage,
    UnknownCollection,
    UnknownModel,
    UnknownPhoto,
    UnsupportedImage,
)
from phototriage.contract.operation import Errors, Method, Operation, Takes

COLLECTIONS = "/v1/collections"
COLLECTION = f"{COLLECTIONS}/{{collection}}"
PHOTO = f"{COLLECTION}/photos/{{id}}"

_ASKED: Errors = (
    MalformedRequest,
    Unauthorized,
    UnknownCollection,
    StoreUnavailable,
    Overloaded,
    DeadlineExceeded,
)
COLLECTION_PART_ERRORS: Errors = (UnknownCollection, ForeignCollection, StoreUnavailable)  # of a triage that asks one
_OF_A_PHOTO: Errors = (*_ASKED, UnknownPhoto)
_SENT: Errors = (*_ASKED, ForeignCollection, TooLarge)
_SENT_PHOTO: Errors = (*_SENT, UnsupportedImage, UndecodableImage, ForeignEmbedding)


def _operation(
    method: Method,
    path: str,
    name: str,
    summary: str,
    answer: type[BaseModel],
    query: type[BaseModel] | None = None,
    errors: Errors = _ASKED,
    takes: Takes = "nothing",
) -> Operation:
    return Operation(method, path, summary, {"application/json": answer}, query, takes, errors, name)


COLLECTION_OPERATIONS = (
    _operation("GET", COLLECTIONS, "collections", "Which collections are there?", schemas.CollectionsResponse),
    _operation(
        "PUT",
        COLLECTION,
        "create_collection",
        "Make a collection, if there is none of that name",
        schemas.CollectionInfo,
        schemas.CreateQuery,
        (*_SENT, UnknownModel),
    ),
    _operation("GET", COLLECTION, "collection", "What is in this collection?", schemas.CollectionInfo),
    _operation(
        "DELETE", COLLECTION, "delete_collection", "Delete a collection, with its photos", schemas.ChangedResponse
    ),
    _operation(
        "GET",
        f"{COLLECTION}/photos",
        "collection_photos",
        "Which photos are there?",
        schemas.IdsResponse,
        schemas.PhotosQuery,
    ),
    _operation(
        "POST",
        f"{COLLECTION}/photos",
        "add_photo",
        "Add a photo, or only if it is new: a duplicate of none that is there",
        schemas.AddResponse,
        schemas.AddQuery,
        _SENT_PHOTO,
        "photo",
    ),
    _operation(
        "POST",
        f"{COLLECTION}/batch",
        "add_photos",
        "Add several, images by their files' names or embeddings by their ids; a bad one never fails another",
        schemas.AddBatchResponse,
        schemas.AddBatchQuery,
        _SENT,
        "added_photos",
    ),
    _operation(
        "POST",
        f"{COLLECTION}/query",
        "query_collection",
        "Have we seen this photo before, and what is like it?",
        schemas.CollectionQueryResponse,
        schemas.CollectionQuery,
        _SENT_PHOTO,
        "photo",
    ),
    _operation(
        "POST",
        f"{COLLECTION}/query/batch",
        "query_photos",
        "The same about several photos, in their order; a bad one never fails another",
        schemas.QueryBatchResponse,
        schemas.QueryBatchQuery,
        _SENT,
        "queried_photos",
    ),
    _operation(
        "GET",
        PHOTO,
        "collection_photo",
        "What is kept of a photo?",
        schemas.CollectionPhoto,
        schemas.PhotoQuery,
        _OF_A_PHOTO,
    ),
    _operation(
        "DELETE", PHOTO, "delete_photo", "Leave nothing of a photo", schemas.ChangedResponse, errors=_OF_A_PHOTO
    ),
    _operation(
        "GET",
        f"{COLLECTION}/groups",
        "collection_groups",
        "Which photos are duplicates of one another?",
        schemas.GroupsResponse,
        schemas.GroupsQuery,
    ),
    _operation(
        "GET",
        f"{COLLECTION}/groups/{{group}}",
        "collection_group",
        "Which photos are in this group? None, where there is no such group any more",
        schemas.IdsResponse,
        schemas.PageQuery,
    ),
    _operation(
        "GET",
        f"{COLLECTION}/not_duplicates",
        "not_duplicates",
        "Which pairs are marked as no duplicates?",
        schemas.NotDuplicatesResponse,
        schemas.PageQuery,
    ),
    _operation(
        "PUT",
        f"{COLLECTION}/not_duplicates",
        "mark_not_duplicates",
        "Remember that two photos are no duplicates, whatever they look like",
        schemas.ChangedResponse,
        schemas.PairQuery,
        _OF_A_PHOTO,
    ),
    _operation(
        "DELETE",
        f"{COLLECTION}/not_duplicates",
        "unmark_not_duplicates",
        "Forget that two photos are no duplicates",
        schemas.ChangedResponse,
        schemas.PairQuery,
    ),
)
