"""The schema of scores: a Parquet file's columns, and the API bodies that its rows stand for.

A row holds what POST /v1/triage answers about the image, field by field, or the problem that it answers instead. Some
fields differ from JSON, and hold bytes and numbers instead of base64: `saliency.mask_png`, `embed.embedding.values` and
`embed.embedding.signature`. `body_of` turns a row back into the body.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from phototriage.difficulty.depths import DEPTH_SIGNALS
from phototriage.difficulty.signals import SIGNALS
from phototriage.triage.embedding import LITTLE_ENDIAN
from phototriage.triage.schemas import Part, Problem, TriageResponse

FORMAT = "1"
NAME, ERROR, NEAR_DUPLICATES = "name", "error", "near_duplicates"
METADATA_PREFIX = "phototriage."  # of the keys of a file's metadata

Row = dict[str, Any]

_MODEL = pa.struct({"name": pa.string(), "version": pa.string()})
_PARTS: Mapping[Part, pa.DataType] = {
    "classify": pa.struct(
        {
            "model": _MODEL,
            "label": pa.string(),
            "confidence": pa.float64(),
            "probabilities": pa.list_(pa.struct({"label": pa.string(), "probability": pa.float64()})),
            "frame": pa.string(),  # null for a still picture, here and below
        }
    ),
    "difficulty": pa.struct(
        {
            "model": _MODEL,
            "score": pa.float64(),
            "percentile": pa.float64(),
            "review": pa.bool_(),
            "reasons": pa.list_(
                pa.struct(
                    {"kind": pa.string(), "signal": pa.string(), "value": pa.float64(), "percentile": pa.float64()}
                )
            ),
            "components": pa.struct({name: pa.float64() for name in (*SIGNALS, *DEPTH_SIGNALS)}),
            "p_error": pa.float64(),  # null, as what is of features above, where a model has no such answers
            "p_hard": pa.float64(),
            "p_foreign": pa.float64(),
            "frame": pa.string(),
        }
    ),
    "saliency": pa.struct(
        {
            "model": _MODEL,
            "target": pa.string(),
            "method": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "mask_png": pa.binary(),
            "patches": pa.list_(
                pa.struct(
                    {
                        "row": pa.float64(),
                        "column": pa.float64(),
                        "radius": pa.float64(),
                        "intensity": pa.float64(),
                    }
                )
            ),
            "summary": pa.struct({"entropy": pa.float64(), "gini": pa.float64(), "top_tenth_share": pa.float64()}),
            "trained_with_featout": pa.bool_(),
            "frame": pa.string(),
        }
    ),
    "embed": pa.struct(
        {
            "model": _MODEL,
            "embedding": pa.struct(
                {
                    "model": pa.string(),
                    "version": pa.string(),
                    "dimension": pa.int32(),
                    "values": pa.list_(pa.float32()),
                    "signature": pa.binary(),  # null where the model doesn't verify
                }
            ),
            "frame": pa.string(),
        }
    ),
}
_ERROR = pa.struct(
    {"type": pa.string(), "title": pa.string(), "status": pa.int32(), "code": pa.string(), "detail": pa.string()}
)
_NEAR_DUPLICATES = pa.struct(
    {
        "model": _MODEL,
        "image": pa.string(),  # this image's key in the index: its path or URL, or its name if no index is kept
        # The key of the most similar earlier image, or of the most similar one of those that verification finds to be
        # duplicates.
        "nearest": pa.string(),
        "similarity": pa.float64(),
        "probability": pa.float64(),  # null where the two were not verified
        "verified": pa.bool_(),
        "is_duplicate": pa.bool_(),
        "threshold": pa.float64(),  # of the similarity, where it decides alone
        "group": pa.string(),  # the key of its first image; every two images of a group are duplicates
    }
)


def schema_of(parts: Iterable[Part], near_duplicates: bool = False) -> pa.Schema:
    """Columns of a file: `name`, one for each part in the API's order, `near_duplicates` if asked for, and `error`."""
    included = set(parts)
    columns = [pa.field(NAME, pa.string(), nullable=False)]
    columns += [pa.field(part, kind) for part, kind in _PARTS.items() if part in included]
    if near_duplicates:
        columns.append(pa.field(NEAR_DUPLICATES, _NEAR_DUPLICATES))
    return pa.schema([*columns, pa.field(ERROR, _ERROR)])


def row_of(name: str, answer: TriageResponse | Problem) -> Row:
    """The row of an image, with a column for each part of its answer, or its problem."""
    if isinstance(answer, Problem):
        return {NAME: name, ERROR: answer.model_dump()}
    row = answer.model_dump()
    if answer.saliency is not None:
        row["saliency"]["mask_png"] = base64.b64decode(answer.saliency.mask_png)
    if answer.embed is not None:
        values = base64.b64decode(answer.embed.embedding.values)
        row["embed"]["embedding"]["values"] = np.frombuffer(values, LITTLE_ENDIAN)
        signature = answer.embed.embedding.signature
        row["embed"]["embedding"]["signature"] = None if signature is None else base64.b64decode(signature)
    return {NAME: name, **row}


def body_of(row: Row) -> Row:
    """The API's body for a row from `Table.to_pylist`: what /v1/triage answers about the image, or a problem."""
    if row[ERROR] is not None:
        return dict(row[ERROR])
    body: Row = {part: _without_nulls(row[part]) for part in _PARTS if row.get(part) is not None}
    if "difficulty" in body:
        body["difficulty"]["components"] = _without_nulls(body["difficulty"]["components"])
    if "saliency" in body:
        body["saliency"]["mask_png"] = _base64(body["saliency"]["mask_png"])
    if "embed" in body:
        embedding = _without_nulls(body["embed"]["embedding"])
        embedding["values"] = _base64(np.array(embedding["values"], LITTLE_ENDIAN).tobytes())
        if "signature" in embedding:
            embedding["signature"] = _base64(embedding["signature"])
        body["embed"] = {**body["embed"], "embedding": embedding}
    return body


def _without_nulls(fields: Row) -> Row:
    return {name: value for name, value in fields.items() if value is not None}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def with_metadata(schema: pa.Schema, metadata: Mapping[str, str]) -> pa.Schema:
    """The schema with metadata about the run: models, request, and so on."""
    return schema.with_metadata({METADATA_PREFIX + key: value for key, value in metadata.items()})


def metadata_of(schema: pa.Schema) -> dict[str, str]:
    """The metadata that `with_metadata` wrote."""
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {
        key.removeprefix(METADATA_PREFIX): value for key, value in metadata.items() if key.startswith(METADATA_PREFIX)
    }
