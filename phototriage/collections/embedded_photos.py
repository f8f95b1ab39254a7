"""Photos that come as embeddings, many at once: the JSON body of a batch."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phototriage.common.errors import MalformedRequest, TooLarge
from phototriage.triage import embedding
from phototriage.triage.schemas import Embedding

MOST_EMBEDDINGS = 100  # of a batch: each is searched for and verified, which takes some 40 ms, within one deadline
MOST_BYTES = MOST_EMBEDDINGS * embedding.MAX_BYTES


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueriedPhoto(_Sent):
    embedding: Embedding
    id: str | None = Field(default=None, description="The photo's own id, if it has one: it isn't compared with itself")


class AddedPhoto(_Sent):
    id: str = Field(description="What the photo is known by; a photo that has this id is replaced")
    embedding: Embedding
    tags: tuple[str, ...] = Field(default=(), description="Of this photo, beside those of the query")


class QueriedPhotos(_Sent):
    photos: list[QueriedPhoto] = Field(min_length=1, max_length=MOST_EMBEDDINGS)


class AddedPhotos(_Sent):
    """Ids and tags are as of the routes of one photo; one that isn't is reported, and doesn't stop the others."""

    photos: list[AddedPhoto] = Field(min_length=1, max_length=MOST_EMBEDDINGS)


Photos = TypeVar("Photos", QueriedPhotos, AddedPhotos)


def read(text: bytes, kind: type[Photos]) -> Photos:
    """The photos of a body. Raises MalformedRequest for one of another shape, and TooLarge."""
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        if first["type"] == "too_long":
            raise TooLarge(
                f"The batch has more than {MOST_EMBEDDINGS} photos, which is the limit. Send several requests."
            ) from error
        place = ".".join(map(str, first["loc"])) or "the text"
        raise MalformedRequest(
            f"The body isn't the JSON object of a batch: {place[:64]}: {first['msg']}. "
            'Send {"photos": [{"id": …, "embedding": …}, …]}, each embedding as /v1/embed gives it.'
        ) from error
