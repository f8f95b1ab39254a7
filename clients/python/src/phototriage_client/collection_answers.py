"""The server's answers about collections, as `answers` has the others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from phototriage_client.answers import Answer, DuplicateEvidence, ModelName, PairDecision, ProblemDetails
from phototriage_client.embedding import Embedding

Outcome = Literal["added", "replaced", "unchanged", "duplicate"]


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


class CollectionMatch(Answer):
    """A photo of the collection, beside the one that was sent: that is A in `evidence` and `reason`, and this one is
    B."""

    id: str
    tags: list[str]
    group: str
    added_at: float = Field(description="Seconds since 1970, in UTC")
    similarity: float = Field(description="As of `duplicates`")
    is_duplicate: bool
    decision: PairDecision
    verified: bool = Field(description="Whether the two were compared more closely than by their embeddings")
    probability: float | None = Field(
        default=None, description="Of being duplicates; None where the two weren't worth comparing"
    )
    reason: str | None = Field(default=None, description="The decision's reason in words")
    evidence: DuplicateEvidence | None = Field(default=None, description="As of `duplicates`")


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
    group: str
    ids: list[str] = Field(description="Each is a duplicate of every other; in the order in which they were added")


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
    """What came of one of the images: an answer, or why there is none."""

    index: int = Field(description="Place among the images sent, from 0 on")
    id: str
    result: AddResponse | None = None
    error: ProblemDetails | None = Field(default=None, description="In place of the result")


class AddBatchResponse(Answer):
    results: list[AddBatchItem] = Field(description="In the order of the images sent")
