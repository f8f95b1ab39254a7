"""The OpenAPI 3.1 document of exactly the routes that are served, made from the schemas of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from phototriage import __doc__ as description
from phototriage.collections.embedded_photos import AddedPhotos, QueriedPhotos
from phototriage.collections.photos import GROUP, ID, MOST_OF_AN_ID, NAME
from phototriage.collections.schemas import (
    AddBatchItem,
    AddResponse,
    CollectionMatch,
    CollectionPhoto,
    GroupsResponse,
    IdsResponse,
    NotDuplicatesResponse,
    QueryBatchItem,
)
from phototriage.collections.triage_schemas import BatchItem, CollectionPart, TriageResponse
from phototriage.common.errors import (
    Overloaded,
    PhototriageError,
)
from phototriage.contract.operation import Errors, Operation
from phototriage.contract.parts import EMBEDDING_PART, EMBEDDING_PARTS, IMAGE_PARTS, IMAGES_PART, PART
from phototriage.contract.routes import OPERATIONS
from phototriage.triage.comparison_schemas import DuplicatesResponse
from phototriage.triage.schemas import (
    ClassifyResponse,
    Embedding,
    EmbedResponse,
    Problem,
    SaliencyResponse,
    schema_of,
)

API_VERSION = "1"  # fields may be added to answers; what is renamed or removed makes a version 2

# Whose answers leave out what would be null.
_LEAVE_OUT = {
    answer.__name__
    for answer in (
        AddBatchItem,
        AddResponse,
        BatchItem,
        ClassifyResponse,
        CollectionMatch,
        CollectionPart,
        CollectionPhoto,
        DuplicatesResponse,
        EmbedResponse,
        GroupsResponse,
        IdsResponse,
        NotDuplicatesResponse,
        QueryBatchItem,
        SaliencyResponse,
        TriageResponse,
    )
}


_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Where the server has keys; health needs none"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in another header"},
}


def document() -> dict[str, Any]:
    """The whole OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
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
    parameters = [_path_parameter(name) for name in operation.path_names]
    if operation.query is not None:
        parameters += _parameters(operation.query)
    if parameters:
        result["parameters"] = parameters
    if operation.takes != "nothing":
        bodies: dict[str, Callable[[], dict[str, Any]]] = {
            "image": _image_body,
            "images": _images_body,
            "pair": _pair_body,
            "photo": _photo_body,
            "added_photos": lambda: _batch_body(AddedPhotos),
            "queried_photos": lambda: _batch_body(QueriedPhotos),
        }
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


def _path_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any]
    if name == "collection":
        schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
        return {"name": name, "in": "path", "required": True, "description": "A collection's name", "schema": schema}
    if name == "group":
        schema = {"type": "string", "pattern": GROUP}
        return {"name": name, "in": "path", "required": True, "description": "A group's name", "schema": schema}
    schema = {"type": "string", "minLength": 1, "maxLength": MOST_OF_AN_ID, "pattern": ID}
    text = "A photo's id, percent-encoded"
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    parameters = []
    whole = query.model_json_schema()
    required = whole.get("required", ())
    for name, schema in whole["properties"].items():
        schema.pop("title", None)
        text = schema.pop("description", "")
        if "anyOf" in schema:  # optional: a query can leave a parameter out, but can't say null
            schema = next(each for each in schema["anyOf"] if each != {"type": "null"})
        parameter = {"name": name, "in": "query", "description": text, "schema": schema}
        if name in required:
            parameter["required"] = True
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


def _photo_body() -> dict[str, Any]:
    """An image or an embedding, as a part or as the body itself."""
    embedding = {"$ref": "#/components/schemas/Embedding"}
    image = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "properties": {PART: image, EMBEDDING_PART: embedding},
        "oneOf": [{"required": [PART]}, {"required": [EMBEDDING_PART]}],
        "additionalProperties": False,
    }
    encoding = {PART: {"contentType": "image/*"}, EMBEDDING_PART: {"contentType": "application/json"}}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form, "encoding": encoding},
            "image/*": {"schema": {}},
            "application/octet-stream": {"schema": {}},
            "application/json": {"schema": embedding},
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


def _batch_body(of_embeddings: type[BaseModel]) -> dict[str, Any]:
    """Several photos, as images in a form, or as embeddings in JSON."""
    schema = of_embeddings.model_json_schema(ref_template="#/components/schemas/{model}")
    photos = schema["properties"]["photos"]
    name = photos["items"].pop("$ref").rsplit("/", 1)[-1]
    photos["items"] = schema.pop("$defs")[name]
    body = _images_body()
    body["content"]["application/json"] = {"schema": schema}
    return body


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
