"""Each route as a request to be sent and a reader of its answer; no network here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from phototriage_client import answers
from phototriage_client.answers import EmbedResponse, Method, Part
from phototriage_client.errors import ClientError, Problem
from phototriage_client.ids import Tags, check_file_name, check_id, joined
from phototriage_client.picture import ImageSource, Picture
from phototriage_client.replies import error_of, json_of, png_of, text_of
from phototriage_client.side import Side

T = TypeVar("T")

FormPart: TypeAlias = tuple[str, tuple[str | None, bytes, str]]  # name; file name, content, media type

JSON, PNG = "application/json", "image/png"
BYTES = "application/octet-stream"  # what the bytes are, the server sees for itself
RELOAD_SECONDS = 120.0  # models are read, verified and warmed up


@dataclass(frozen=True)
class Call(Generic[T]):
    """`repeatable`: doing it twice is as good as once. `seconds`: the timeout of its answer, where it has its own.

    `if_repeated`: what is answered where an earlier attempt may have done it, and this one succeeds or is refused with
    the code `done_by`, which says that there is nothing left to do."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    media: str = BYTES  # of the body
    form: Sequence[FormPart] = ()
    accept: str = JSON
    repeatable: bool = True
    seconds: float | None = None
    if_repeated: T | None = None
    done_by: str | None = None

    def answer(self, response: httpx.Response, may_have_begun: bool) -> T | ClientError:
        """What the response says, or the error that it is. Raises UnexpectedAnswer."""
        refusal = error_of(response)
        answer = self.read(response) if refusal is None else refusal
        done = refusal is None or (isinstance(refusal, Problem) and refusal.code == self.done_by)
        return self.if_repeated if self.if_repeated is not None and may_have_begun and done else answer

    @property
    def options(self) -> dict[str, Any]:
        """Of httpx's `request`."""
        headers = {"accept": self.accept} | ({"content-type": self.media} if self.body is not None else {})
        return {
            "method": self.method,
            "url": self.path,
            "params": dict(self.query),
            "headers": headers,
            "content": self.body,
            "files": list(self.form) or None,
        }


def classify(picture: Picture, model: str | None = None, top_k: int | None = None) -> Call[answers.ClassifyResponse]:
    return _of_one("/v1/classify", picture, json_of(answers.ClassifyResponse), model=model, top_k=top_k)


def difficulty(
    picture: Picture, model: str | None = None, label: str | None = None
) -> Call[answers.DifficultyResponse]:
    return _of_one("/v1/difficulty", picture, json_of(answers.DifficultyResponse), model=model, label=label)


def embed(picture: Picture, model: str | None = None) -> Call[EmbedResponse]:
    return _of_one("/v1/embed", picture, json_of(EmbedResponse), model=model)


def saliency(
    picture: Picture, method: Method | None = None, target: str | None = None, model: str | None = None
) -> Call[answers.SaliencyResponse]:
    read = json_of(answers.SaliencyResponse)
    return _of_one("/v1/saliency", picture, read, method=method, target=target, model=model)


def saliency_png(
    picture: Picture, method: Method | None = None, target: str | None = None, model: str | None = None
) -> Call[bytes]:
    return _of_one("/v1/saliency", picture, png_of, PNG, method=method, target=target, model=model)


@dataclass(frozen=True)
class TriageOptions:
    """The query of a triage; what is None is left to the server."""

    include: Sequence[Part] | None = None
    classifier: str | None = None
    embedder: str | None = None
    top_k: int | None = None
    label: str | None = None
    method: Method | None = None
    target: str | None = None
    collection: str | None = None
    id: str | None = None
    add: bool = False
    tags: Tags = ()
    if_new: bool = False
    threshold: float | None = None
    min_probability: float | None = None

    @property
    def query(self) -> dict[str, str]:
        include = self.include
        parts = include if include is None or isinstance(include, str) else ",".join(include)
        id = None if self.id is None else check_id(self.id)
        flags = {name: "true" if getattr(self, name) else None for name in ("add", "if_new")}
        return query_of(**vars(self) | flags | {"include": parts, "id": id, "tags": joined(self.tags)})


def with_ids(
    images: Iterable[ImageSource] | Mapping[str, ImageSource], needed: bool
) -> list[tuple[str | None, ImageSource]]:
    """Images, and their ids where they have any. Raises ValueError where these are needed and aren't there."""
    if isinstance(images, Mapping):
        return [(check_file_name(id), image) for id, image in images.items()]
    if needed:
        raise ValueError("images that are to be added need ids: give a mapping from id to image")
    return [(None, image) for image in images]


def named(picture: Picture, id: str | None) -> Picture:
    return picture if id is None else Picture(picture.content, id)


def triage(picture: Picture, options: TriageOptions) -> Call[answers.TriageResponse]:
    read = json_of(answers.TriageResponse)
    return Call("POST", "/v1/triage", read, options.query, picture.content)


def triage_batch(pictures: Sequence[Picture], options: TriageOptions) -> Call[answers.BatchResponse]:
    form = [_part("images", picture) for picture in pictures]
    return Call("POST", "/v1/triage/batch", json_of(answers.BatchResponse), options.query, form=form)


def duplicates(
    a: Side,
    b: Side,
    model: str | None = None,
    threshold: float | None = None,
    min_probability: float | None = None,
    explain: bool = False,
) -> Call[answers.DuplicatesResponse]:
    explained = "true" if explain else None
    query = query_of(model=model, threshold=threshold, min_probability=min_probability, explain=explained)
    return Call("POST", "/v1/duplicates", json_of(answers.DuplicatesResponse), query, form=_pair(a, b))


def duplicates_png(
    a: Side,
    b: Side,
    model: str | None = None,
    threshold: float | None = None,
    min_probability: float | None = None,
) -> Call[bytes]:
    query = query_of(model=model, threshold=threshold, min_probability=min_probability, explain="true")
    return Call("POST", "/v1/duplicates", png_of, query, form=_pair(a, b), accept=PNG)


def models() -> Call[answers.ModelsResponse]:
    return Call("GET", "/v1/models", json_of(answers.ModelsResponse))


def reload() -> Call[answers.ReloadResponse]:
    read = json_of(answers.ReloadResponse)
    return Call("POST", "/v1/models/reload", read, repeatable=False, seconds=RELOAD_SECONDS)


def live() -> Call[answers.Health]:
    return Call("GET", "/livez", json_of(answers.Health))


def ready() -> Call[answers.Health]:
    return Call("GET", "/readyz", json_of(answers.Health))


def metrics() -> Call[str]:
    return Call("GET", "/metrics", text_of, accept="text/plain")


def _of_one(
    path: str, picture: Picture, read: Callable[[httpx.Response], T], accept: str = JSON, **query: str | float | None
) -> Call[T]:
    return Call("POST", path, read, query_of(**query), picture.content, accept=accept)


def _pair(a: Side, b: Side) -> list[FormPart]:
    return [
        _part(f"image_{name}", side)
        if isinstance(side, Picture)
        else (f"embedding_{name}", (None, side.to_json().encode(), JSON))
        for name, side in (("a", a), ("b", b))
    ]


def _part(name: str, picture: Picture) -> FormPart:
    return name, (picture.name, picture.content, BYTES)


def query_of(**values: str | float | None) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}
