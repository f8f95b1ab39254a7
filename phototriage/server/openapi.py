"""The OpenAPI 3.1 document of exactly the routes that are served, made from the schemas of the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from phototriage import __doc__ as description
from phototriage.common.errors import (
    DeadlineExceeded,
    ForeignEmbedding,
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
from phototriage.server.uploads import EMBEDDING_PARTS, IMAGE_PARTS, IMAGES_PART, PART
from phototriage.triage.schemas import (
    BatchItem,
    BatchResponse,
    ClassifyQuery,
    ClassifyResponse,
    DifficultyQuery,
    DifficultyResponse,
    DuplicatesQuery,
    DuplicatesResponse,
    Embedding,
    EmbedResponse,
    Health,
    ModelQuery,
    ModelsResponse,
    Problem,
    ReloadResponse,
    SaliencyQuery,
    SaliencyResponse,
    TriageQuery,
    TriageResponse,
    schema_of,
)

API_VERSION = "1"  # fields may be added to answers; what is renamed or removed makes a version 2

_LEAVE_OUT = {answer.__name__ for answer in (BatchItem, DuplicatesResponse, SaliencyResponse, TriageResponse)}

Errors = tuple[type[PhototriageError], ...]

_IMAGE_ERRORS: Errors = (
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
_BATCH_ERRORS: Errors = (
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
    """One method of one path. `answers` has a schema by media type; `query` is a model of the parameters."""

    method: str
    path: str
    summary: str
    answers: dict[str, type[BaseModel] | dict[str, Any]]
    query: type[BaseModel] | None = None
    takes: Literal["nothing", "image", "images", "pair"] = "nothing"
    errors: Errors = field(default=())

    @property
    def identifier(self) -> str:
        return self.path.removeprefix("/v1/").strip("/").removesuffix(".json").replace("/", "_")


_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Where the server has keys; health needs none"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in another header"},
}
_BINARY = {"type": "string", "contentMediaType": "image/png"}
_TEXT = {"type": "string"}

OPERATIONS = (
    Operation(
        "post",
        "/v1/classify",
        "What is in this photo?",
        {"application/json": ClassifyResponse},
        ClassifyQuery,
        takes="image",
        errors=_IMAGE_ERRORS,
    ),
    Operation(
        "post",
        "/v1/difficulty",
        "How hard is this photo, and why?",
        {"application/json": DifficultyResponse},
        DifficultyQuery,
        takes="image",
        errors=(*_IMAGE_ERRORS, UnknownLabel),
    ),
    Operation(
        "post",
        "/v1/saliency",
        "What did the model look at? Accept chooses between the mask alone and the mask with what it says.",
        {"application/json": SaliencyResponse, "image/png": _BINARY},
        SaliencyQuery,
        takes="image",
        errors=(*_IMAGE_ERRORS, UnknownLabel),
    ),
    Operation(
        "post",
        "/v1/embed",
        "What is this photo to be known by? The answer can take its place in /v1/duplicates.",
        {"application/json": EmbedResponse},
        ModelQuery,
        takes="image",
        errors=_IMAGE_ERRORS,
    ),
    Operation(
        "post",
        "/v1/duplicates",
        "Are these two the same photo, if cropped, framed, recoloured or compressed anew?",
        {"application/json": DuplicatesResponse},
        DuplicatesQuery,
        takes="pair",
        errors=(*_IMAGE_ERRORS, ForeignEmbedding),
    ),
    Operation(
        "post",
        "/v1/triage",
        "All of these at once, from one decode",
        {"application/json": TriageResponse},
        TriageQuery,
        takes="image",
        errors=(*_IMAGE_ERRORS, UnknownLabel),
    ),
    Operation(
        "post",
        "/v1/triage/batch",
        "The same about several photos, in their order; one that can't be read never fails another",
        {"application/json": BatchResponse},
        TriageQuery,
        takes="images",
        errors=_BATCH_ERRORS,
    ),
    Operation(
        "get",
        "/v1/models",
        "Which models are served?",
        {"application/json": ModelsResponse},
        errors=(MalformedRequest, Unauthorized, Overloaded),
    ),
    Operation(
        "post",
        "/v1/models/reload",
        "Take up what has changed in the models directory, without dropping a request. Needs a key in any case.",
        {"application/json": ReloadResponse},
        errors=(MalformedRequest, Unauthorized, Overloaded),
    ),
    Operation("get", "/livez", "Does the process answer?", {"application/json": Health}),
    Operation(
        "get",
        "/readyz",
        "Are the models verified, replayed and warm?",
        {"application/json": Health},
        errors=(Overloaded,),
    ),
    Operation("get", "/healthz", "As /livez, under its older name", {"application/json": Health}),
    Operation("get", "/metrics", "Prometheus metrics", {"text/plain": _TEXT}, errors=(Unauthorized,)),
    Operation(
        "get", "/docs.json", "This document", {"application/json": {"type": "object", "additionalProperties": True}}
    ),
)


def document() -> dict[str, Any]:
    """The whole OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    answers = {model for operation in OPERATIONS for model in operation.answers.values() if isinstance(model, type)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Phototriage", "version": API_VERSION, "description": description},
        "paths": paths,
        "security": [{}, {"bearer": []}, {"key": []}],
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": {
                name: schema if name == Embedding.__name__ else _as_sent(schema, name in _LEAVE_OUT)
                for name, schema in schema_of(
                    [Problem, Embedding, *sorted(answers, key=lambda model: model.__name__)]
                ).items()
            },
        },
    }


def _as_sent(schema: dict[str, Any], leaves_out: bool) -> dict[str, Any]:
    """An answer's schema for those who read it: fields may be added one day, and what isn't there may be left out
    instead of null. An embedding is what callers send, too, and is to have no more than it has."""
    fields = {name: _never_null(field) if leaves_out else field for name, field in schema["properties"].items()}
    return {name: value for name, value in schema.items() if name != "additionalProperties"} | {"properties": fields}


def _never_null(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field that is left out where it would be null."""
    if "default" not in field or field["default"] is not None:
        return field
    kinds = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
    told = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return told | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _operation(operation: Operation) -> dict[str, Any]:
    content = {media: {"schema": _schema(answer)} for media, answer in operation.answers.items()}
    result: dict[str, Any] = {
        "operationId": operation.identifier,
        "summary": operation.summary,
        "responses": {"200": {"description": "The answer", "content": content}, **_problems(operation.errors)},
    }
    if operation.query is not None:
        result["parameters"] = _parameters(operation.query)
    if operation.takes != "nothing":
        bodies = {"image": _image_body, "images": _images_body, "pair": _pair_body}
        result["requestBody"] = bodies[operation.takes]()
    return result


def _schema(answer: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    return answer if isinstance(answer, dict) else {"$ref": f"#/components/schemas/{answer.__name__}"}


def _problems(errors: Errors) -> dict[str, Any]:
    """Answers by status; errors that share one are described together."""
    by_status: dict[int, list[type[PhototriageError]]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    problems: dict[str, Any] = {}
    for status, sharing in sorted(by_status.items()):
        text = "; ".join(f"{error.title} (`{error.code}`)" for error in sharing)
        problems[str(status)] = {"description": text, "content": {"application/problem+json": schema}}
        if status == Overloaded.status:
            problems[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return problems


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    parameters = []
    for name, schema in query.model_json_schema()["properties"].items():
        schema.pop("title", None)
        text = schema.pop("description", "")
        if "anyOf" in schema:  # optional: a query can leave a parameter out, but can't say null
            schema = next(each for each in schema["anyOf"] if each != {"type": "null"})
        parameter = {"name": name, "in": "query", "description": text, "schema": schema}
        if schema.get("type") == "array":
            schema["uniqueItems"] = True
            parameter |= {"style": "form", "explode": False}
        parameters.append(parameter)
    return parameters


def _image_body() -> dict[str, Any]:
    """An image as a file part or as the body itself. OpenAPI 3.1 describes a raw body by an empty schema."""
    form = {
        "type": "object",
        "properties": {PART: {"type": "string", "contentMediaType": "application/octet-stream"}},
        "required": [PART],
        "additionalProperties": False,
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form, "encoding": {PART: {"contentType": "image/*"}}},
            "image/*": {"schema": {}},
            "application/octet-stream": {"schema": {}},
        },
    }


def _images_body() -> dict[str, Any]:
    """One or more images, as parts of one name."""
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "properties": {IMAGES_PART: {"type": "array", "items": image, "minItems": 1}},
        "required": [IMAGES_PART],
        "additionalProperties": False,
    }
    encoding = {IMAGES_PART: {"contentType": "image/*"}}
    return {"required": True, "content": {"multipart/form-data": {"schema": form, "encoding": encoding}}}


def _pair_body() -> dict[str, Any]:
    """For each side an image as a file part, or an embedding as JSON."""
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    embedding = {"$ref": "#/components/schemas/Embedding"}
    pairs = list(zip(IMAGE_PARTS, EMBEDDING_PARTS, strict=True))
    form = {
        "type": "object",
        "properties": dict.fromkeys(IMAGE_PARTS, image) | dict.fromkeys(EMBEDDING_PARTS, embedding),
        "allOf": [{"oneOf": [{"required": [name]} for name in pair]} for pair in pairs],
        "additionalProperties": False,
    }
    media = dict.fromkeys(IMAGE_PARTS, "image/*") | dict.fromkeys(EMBEDDING_PARTS, "application/json")
    encoding = {name: {"contentType": kind} for name, kind in media.items()}
    return {"required": True, "content": {"multipart/form-data": {"schema": form, "encoding": encoding}}}
