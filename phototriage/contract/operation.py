"""One operation of the HTTP contract: what the application's routes and the OpenAPI document are made from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from phototriage.common.errors import (
    DeadlineExceeded,
    MalformedRequest,
    Overloaded,
    PhototriageError,
    TooLarge,
    Unauthorized,
    UndecodableImage,
    UnknownLabel,
    UnknownModel,
    UnsupportedImage,
)

Errors = tuple[type[PhototriageError], ...]
Method = Literal["GET", "POST", "PUT", "DELETE"]
Takes = Literal["nothing", "image", "images", "pair", "photo", "added_photos", "queried_photos"]

_NAMES = re.compile(r"{(\w+)}")

IMAGE_ERRORS: Errors = (
    MalformedRequest,
    Unauthorized,
    UnknownModel,
    TooLarge,
    UnsupportedImage,
    UndecodableImage,
    Overloaded,
    DeadlineExceeded,
)
# An image of a batch that can't be read is told beside the others.
BATCH_ERRORS: Errors = (
    MalformedRequest,
    Unauthorized,
    UnknownModel,
    TooLarge,
    UnknownLabel,
    Overloaded,
    DeadlineExceeded,
)


@dataclass(frozen=True)
class Operation:
    """One method of one path. `answers` has a schema by media type; `query` is a model of the parameters; `name` is
    what it is called, where the path has several methods. A path may have names in braces, for the caller's text."""

    method: Method
    path: str
    summary: str
    answers: dict[str, type[BaseModel] | dict[str, Any]]
    query: type[BaseModel] | None = None
    takes: Takes = "nothing"
    errors: Errors = field(default=())
    name: str | None = None

    @property
    def identifier(self) -> str:
        return self.name or self.path.removeprefix("/v1/").strip("/").removesuffix(".json").replace("/", "_")

    @property
    def path_names(self) -> list[str]:
        """The names in braces."""
        return _NAMES.findall(self.path)
