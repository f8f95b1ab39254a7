"""The server's answers about collections, as `answers` has the others."""

from __future__ import annotations

from pydantic import Field

from phototriage_client.answers import Answer, CollectionMatch, ModelName, Outcome, ProblemDetails
from phototriage_client.embedding import Embedding


class CollectionInfo(Answer):
    """A collection. `served`: whether an embedder is loaded whose embeddings are those of this collection; without one,
    photos can't be compared with it."""

    name: str
    model: ModelName = Field(description="The embedder that its photos were embedded by")
    served: bool
    verifies: bool = Field(description="Whether duplicates are verified; else similarities alone decide")
    created_at: float = Field(description="Seconds since 1970, in UTC")
    photos: int
    groups: int = Field(description="Of two or more photos that are one another's duplicates")
    not_duplicates: int = Field(description="Pairs that are marked as no duplicates")
    bytes: int = Field(description="On disk")


class CollectionsResponse(Answer):
    collections: list[CollectionInfo] = Field(description="By name")


class CollectionQueryResponse(Answer):
    collection: str
    model: ModelName
    is_duplicate: bool = Field(description="Whether any of the photos is a duplicate of the one that was sent")
    matches: list[CollectionMatch] = Field(
        description="Duplicates first, the most similar first among these and others"
    )


class AddResponse(Answer):
    collection: str
    model: ModelName
    id: str
    outcome: Outcome = Field(
        description="`added`; `replaced`: another photo had the id; `unchanged`: this very photo had it; `duplicate`: "
        "it is one of another and, by `if_new`, not added"
    )
    added: bool = Field(description="Whether the collection has it by this call")
    group: str | None = Field(default=None, description="The group that it is in; None if it isn't added")
    duplicates: list[CollectionMatch] = Field(description="Photos that it is a duplicate of, the most similar first")


class CollectionPhoto(Answer):
    id: str
    tags: list[str]
    group: str
    added_at: float = Field(description="Seconds since 1970, in UTC")
    embedding: Embedding | None = Field(default=None, description="With embedding=True only")


class IdsResponse(Answer):
    ids: list[str] = Field(description="In the order in which they were added")
    next: int | None = Field(default=None, description="`after` of the next page; None at the end")


class PhotoGroup(Answer):
    """Photos each of which is a duplicate of every other."""

    group: str
    photos: int = Field(description="How many there are")
    ids: list[str] = Field(description="The first of them, in the order in which they were added")


class GroupsResponse(Answer):
    groups: list[PhotoGroup]
    next: int | None = Field(default=None, description="`after` of the next page; None at the end")


class NotDuplicates(Answer):
    """A pair that is marked as no duplicates."""

    a: str
    b: str


class NotDuplicatesResponse(Answer):
    pairs: list[NotDuplicates]
    next: int | None = Field(default=None, description="`after` of the next page; None at the end")


class ChangedResponse(Answer):
    """What a deletion, or a mark, has changed."""

    changed: bool = Field(description="False where it was so already")


class AddBatchItem(Answer):
    """What came of one of the photos: an answer, or why there is none."""

    index: int = Field(description="Place among the photos sent, from 0 on")
    id: str
    result: AddResponse | None = None
    error: ProblemDetails | None = Field(default=None, description="In place of the result")


class AddBatchResponse(Answer):
    results: list[AddBatchItem] = Field(description="In the order of the photos sent")


class QueryBatchItem(Answer):
    """What is said of one of the photos: an answer, or why there is none."""

    index: int = Field(description="Place among the photos sent, from 0 on")
    id: str = Field(description="The file's name, or the id that came with the embedding; empty if there was none")
    result: CollectionQueryResponse | None = None
    error: ProblemDetails | None = Field(default=None, description="In place of the result")


class QueryBatchResponse(Answer):
    results: list[QueryBatchItem] = Field(description="In the order of the photos sent")
