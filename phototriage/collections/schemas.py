"""Queries and answers about collections. Of the OpenAPI document, as `triage.schemas`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from phototriage.collections.photos import ID, MOST_OF_A_TAG, MOST_OF_AN_ID, MOST_TAGS, TAG
from phototriage.triage.comparison_schemas import BoundsQuery, DuplicateEvidence
from phototriage.triage.schemas import Answer, Embedding, ModelName, Problem, Query
from phototriage.verification.verifier import PairDecision

MOST_OF_A_PAGE = 1000
LAST_ROW = 2**63 - 1
PhotoId = Annotated[str, Field(min_length=1, max_length=MOST_OF_AN_ID, pattern=ID)]
Tag = Annotated[str, Field(min_length=1, max_length=MOST_OF_A_TAG, pattern=TAG)]
Outcome = Literal["added", "replaced", "unchanged", "duplicate"]


class CreateQuery(Query):
    model: str | None = Field(default=None, description="Name of the embedder; without it the default one")


class TagsQuery(Query):
    tags: tuple[Tag, ...] | None = Field(
        default=None, min_length=1, max_length=MOST_TAGS, description="Separated by commas; without it none"
    )

    @field_validator("tags", mode="before")
    @classmethod
    def _split_tags(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(value.split(","))) if isinstance(value, str) else value


class CollectionQuery(BoundsQuery, TagsQuery):
    """`tags`: only photos that have all of them are compared."""

    top_k: int = Field(default=10, ge=1, le=100, description="How many photos to list, duplicates first")
    id: PhotoId | None = Field(
        default=None, description="The photo's own id, if it has one: it isn't compared with itself"
    )


class AddQuery(BoundsQuery, TagsQuery):
    """`tags`: of the photo."""

    id: PhotoId = Field(description="What the photo is known by; a photo that has this id is replaced")
    if_new: bool = Field(default=False, description="Add it only if it is no duplicate of one that is there")


class AddBatchQuery(BoundsQuery, TagsQuery):
    """`tags`: of all photos."""

    if_new: bool = Field(default=False, description="Add only those that are no duplicates, also of one another")


class QueryBatchQuery(BoundsQuery, TagsQuery):
    """`tags`: only photos that have all of them are compared."""

    top_k: int = Field(default=10, ge=1, le=100, description="How many photos to list of each, duplicates first")


class PageQuery(Query):
    after: int = Field(default=-1, ge=-1, le=LAST_ROW, description="`next` of the page before")
    limit: int = Field(default=100, ge=1, le=MOST_OF_A_PAGE, description="How many to list")


class GroupsQuery(PageQuery):
    limit_ids: int = Field(
        default=100, ge=1, le=MOST_OF_A_PAGE, description="How many ids to list of each group; `photos` counts all"
    )


class PhotosQuery(TagsQuery, PageQuery):
    """`tags`: only photos that have all of them."""


class PhotoQuery(Query):
    embedding: bool = Field(default=False, description="Whether to give the embedding, too")


class PairQuery(Query):
    a: PhotoId = Field(description="Id of a photo")
    b: PhotoId = Field(description="Id of another")


class CollectionInfo(Answer):
    """A collection. `served`: whether an embedder is loaded whose embeddings are those of this collection; without one,
    photos can't be compared with it."""

    name: str
    model: ModelName = Field(description="The embedder that its photos were embedded by")
    served: bool
    verifies: bool = Field(description="Whether duplicates are verified; else similarities alone decide")
    created_at: float = Field(description="Seconds since 1970, in UTC")
    photos: int = Field(ge=0)
    groups: int = Field(ge=0, description="Of two or more photos that are one another's duplicates")
    not_duplicates: int = Field(ge=0, description="Pairs that are marked as no duplicates")
    bytes: int = Field(ge=0, description="On disk")


class CollectionsResponse(Answer):
    collections: list[CollectionInfo] = Field(description="By name")


class CollectionMatch(Answer):
    """A photo of the collection, beside the one that was sent: that is A in `evidence` and `reason`, and this one is
    B."""

    id: str
    tags: list[str]
    group: str
    added_at: float = Field(description="Seconds since 1970, in UTC")
    similarity: float = Field(ge=-1, le=1, description="As of /v1/duplicates")
    is_duplicate: bool
    decision: PairDecision
    verified: bool = Field(description="Whether the two were compared more closely than by their embeddings")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="Of being duplicates; not there where the two weren't worth comparing"
    )
    reason: str | None = Field(default=None, description="The decision's reason in words")
    evidence: DuplicateEvidence | None = Field(default=None, description="As of /v1/duplicates")


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
    group: str | None = Field(default=None, description="The group that it is in; not there if it isn't added")
    duplicates: list[CollectionMatch] = Field(description="Photos that it is a duplicate of, the most similar first")


class CollectionPhoto(Answer):
    id: str
    tags: list[str]
    group: str
    added_at: float = Field(description="Seconds since 1970, in UTC")
    embedding: Embedding | None = Field(default=None, description="With embedding=true only")


class IdsResponse(Answer):
    ids: list[str] = Field(description="In the order in which they were added")
    next: int | None = Field(default=None, description="`after` of the next page; not there at the end")


class PhotoGroup(Answer):
    """Photos each of which is a duplicate of every other."""

    group: str
    photos: int = Field(ge=2, description="How many there are")
    ids: list[str] = Field(description="The first of them, in the order in which they were added")


class GroupsResponse(Answer):
    groups: list[PhotoGroup]
    next: int | None = Field(default=None, description="`after` of the next page; not there at the end")


class NotDuplicates(Answer):
    a: str
    b: str


class NotDuplicatesResponse(Answer):
    pairs: list[NotDuplicates]
    next: int | None = Field(default=None, description="`after` of the next page; not there at the end")


class ChangedResponse(Answer):
    """What a deletion, or a mark, has changed."""

    changed: bool = Field(description="False where it was so already")


class AddBatchItem(Answer):
    """What came of one of the photos: an answer, or why there is none."""

    index: int = Field(ge=0, description="Place among the photos sent, from 0")
    id: str = Field(description="The file's name, or the id that came with the embedding")
    result: AddResponse | None = Field(default=None)
    error: Problem | None = Field(default=None)


class AddBatchResponse(Answer):
    results: list[AddBatchItem] = Field(description="In the order of the photos sent")


class QueryBatchItem(Answer):
    """What is said of one of the photos: an answer, or why there is none."""

    index: int = Field(ge=0, description="Place among the photos sent, from 0")
    id: str = Field(description="The file's name, or the id that came with the embedding; empty if there was none")
    result: CollectionQueryResponse | None = Field(default=None)
    error: Problem | None = Field(default=None)


class QueryBatchResponse(Answer):
    results: list[QueryBatchItem] = Field(description="In the order of the photos sent")
