"""The one table of routes: method, path, what is sent, what is answered, which errors. The application's routes and the
OpenAPI document are made from it.
"""

from __future__ import annotations

from phototriage.collections.triage_schemas import BatchResponse, BatchTriageQuery, TriageQuery, TriageResponse
from phototriage.common.errors import ForeignEmbedding, MalformedRequest, Overloaded, Unauthorized, UnknownLabel
from phototriage.contract.collection_routes import COLLECTION_OPERATIONS, COLLECTION_PART_ERRORS
from phototriage.contract.operation import BATCH_ERRORS, IMAGE_ERRORS, Operation
from phototriage.triage.comparison_schemas import DuplicatesQuery, DuplicatesResponse
from phototriage.triage.schemas import (
    ClassifyQuery,
    ClassifyResponse,
    DifficultyQuery,
    DifficultyResponse,
    EmbedResponse,
    Health,
    ModelQuery,
    ModelsResponse,
    ReloadResponse,
    SaliencyQuery,
    SaliencyResponse,
)

_BINARY = {"type": "string", "contentMediaType": "image/png"}
_TEXT = {"type": "string"}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/v1/classify",
        "What is in this photo?",
        {"application/json": ClassifyResponse},
        ClassifyQuery,
        takes="image",
        errors=IMAGE_ERRORS,
    ),
    Operation(
        "POST",
        "/v1/difficulty",
        "How hard is this photo, and why?",
        {"application/json": DifficultyResponse},
        DifficultyQuery,
        takes="image",
        errors=(*IMAGE_ERRORS, UnknownLabel),
    ),
    Operation(
        "POST",
        "/v1/saliency",
        "What did the model look at? Accept chooses between the mask alone and the mask with what it says.",
        {"application/json": SaliencyResponse, "image/png": _BINARY},
        SaliencyQuery,
        takes="image",
        errors=(*IMAGE_ERRORS, UnknownLabel),
    ),
    Operation(
        "POST",
        "/v1/embed",
        "What is this photo to be known by? The answer can take its place in /v1/duplicates.",
        {"application/json": EmbedResponse},
        ModelQuery,
        takes="image",
        errors=IMAGE_ERRORS,
    ),
    Operation(
        "POST",
        "/v1/duplicates",
        "Are these two the same photo, if cropped, framed, recoloured or compressed anew?",
        {"application/json": DuplicatesResponse, "image/png": _BINARY},
        DuplicatesQuery,
        takes="pair",
        errors=(*IMAGE_ERRORS, ForeignEmbedding),
    ),
    Operation(
        "POST",
        "/v1/triage",
        "All of these at once, from one decode",
        {"application/json": TriageResponse},
        TriageQuery,
        takes="image",
        errors=(*IMAGE_ERRORS, UnknownLabel, *COLLECTION_PART_ERRORS),
    ),
    Operation(
        "POST",
        "/v1/triage/batch",
        "The same about several photos, in their order; one that can't be read never fails another",
        {"application/json": BatchResponse},
        BatchTriageQuery,
        takes="images",
        errors=(*BATCH_ERRORS, *COLLECTION_PART_ERRORS),
    ),
    Operation(
        "GET",
        "/v1/models",
        "Which models are served?",
        {"application/json": ModelsResponse},
        errors=(MalformedRequest, Unauthorized, Overloaded),
    ),
    Operation(
        "POST",
        "/v1/models/reload",
        "Take up what has changed in the models directory, without dropping a request. Needs a key in any case.",
        {"application/json": ReloadResponse},
        errors=(MalformedRequest, Unauthorized, Overloaded),
    ),
    *COLLECTION_OPERATIONS,
    Operation("GET", "/livez", "Does the process answer?", {"application/json": Health}),
    Operation(
        "GET",
        "/readyz",
        "Are the models verified, replayed and warm?",
        {"application/json": Health},
        errors=(Overloaded,),
    ),
    Operation("GET", "/healthz", "As /livez, under its older name", {"application/json": Health}),
    Operation("GET", "/metrics", "Prometheus metrics", {"text/plain": _TEXT}, errors=(Unauthorized,)),
    Operation(
        "GET", "/docs.json", "This document", {"application/json": {"type": "object", "additionalProperties": True}}
    ),
)
