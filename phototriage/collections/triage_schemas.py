"""Queries and answers of a triage over HTTP, which may ask a collection about the photo, too, and add it."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from phototriage.collections.schemas import CollectionMatch, Outcome, PhotoId, TagsQuery
from phototriage.common.errors import MalformedRequest
from phototriage.triage import schemas
from phototriage.triage.comparison_schemas import BoundsQuery
from phototriage.triage.schemas import (
    Answer,
    ClassifyResponse,
    DifficultyResponse,
    EmbedResponse,
    ModelName,
    Problem,
    SaliencyResponse,
)


class AskingQuery(BoundsQuery, TagsQuery, schemas.TriageQuery):
    """`tags`: of the photo that is added."""

    adding: ClassVar[str]  # the parameter by which the photo is added

    collection: str | None = Field(
        default=None, description="Name of a collection that is asked about the photo, too: the part `collection`"
    )
    if_new: bool = Field(default=False, description="Add it only if it is no duplicate of one that is there")

    @model_validator(mode="after")
    def _none_is_in_vain(self) -> Self:
        given = self.model_fields_set
        in_vain = given & {self.adding, "tags", "if_new", "threshold", "min_probability"}
        if self.collection is None and in_vain:
            raise MalformedRequest(
                f"{sorted(in_vain)[0]} is given, and no collection. Name the collection, or leave it out."
            )
        if not getattr(self, self.adding) and (of_added := given & {"tags", "if_new"}):
            raise MalformedRequest(
                f"{sorted(of_added)[0]} is of a photo that is added, and this one isn't. Give {self.adding}, or leave "
                "it out."
            )
        return self


class TriageQuery(AskingQuery):
    adding = "id"

    id: PhotoId | None = Field(
        default=None, description="What the photo is known by in the collection: it is added, last of all"
    )


class BatchTriageQuery(AskingQuery):
    """`tags`: of all photos."""

    adding = "add"

    add: bool = Field(default=False, description="Add the photos to the collection, each known by its file's name")


class CollectionPart(Answer):
    """What a collection says of the photo. The last four are there only where it was to be added, and say what
    AddResponse does."""

    collection: str
    model: ModelName
    is_duplicate: bool = Field(description="Whether it is a duplicate of any other photo")
    duplicates: list[CollectionMatch] = Field(
        description="Photos that it is a duplicate of, the most similar first; ten at most where it is only asked about"
    )
    id: str | None = None
    outcome: Outcome | None = None
    added: bool | None = Field(default=None, description="Whether the collection has it by this call")
    group: str | None = Field(default=None, description="The group that it is in; not there if it isn't added")


class TriageResponse(schemas.TriageResponse):
    """The parts that were asked for, from one decode."""

    collection: CollectionPart | None = Field(default=None, description="With `collection` only")


class BatchItem(Answer):
    """An image's answers, or why there are none."""

    index: int = Field(ge=0, description="Place among the images sent, from 0 on")
    filename: str = Field(description="As the part named it; empty if it didn't")
    classify: ClassifyResponse | None = None
    difficulty: DifficultyResponse | None = None
    saliency: SaliencyResponse | None = None
    embed: EmbedResponse | None = None
    collection: CollectionPart | None = Field(default=None, description="With `collection` only")
    error: Problem | None = Field(default=None, description="In place of all parts")


class BatchResponse(Answer):
    results: list[BatchItem] = Field(description="In the order of the images sent")
