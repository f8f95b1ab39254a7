"""Query parameters, validated by a schema, and the Accept header."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from phototriage.common.errors import MalformedRequest
from phototriage.contract.parts import ADDRESSES, NOT_FETCHED

Query = TypeVar("Query", bound=BaseModel)

JSON, PNG = "application/json", "image/png"


def read_query(request: Request, schema: type[Query]) -> Query:
    """The query parameters as an instance of the schema. Raises MalformedRequest, which names what is wrong."""
    if not request.scope["query_string"] and not any(field.is_required() for field in schema.model_fields.values()):
        return schema()
    pairs = request.query_params.multi_items()
    known = tuple(schema.model_fields)
    for name, _ in pairs:
        if name not in known:
            why = f" {NOT_FETCHED}." if name.lower() in ADDRESSES else ""
            raise MalformedRequest(
                f"There is no query parameter {name[:64]!r} here; this route takes {', '.join(known)}.{why}"
            )
    if len(dict(pairs)) < len(pairs):
        raise MalformedRequest("A query parameter is given twice. Send it once.")
    try:
        return schema.model_validate(dict(pairs))
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise MalformedRequest(f"The query parameter {first['loc'][0]} is missing. Send it.") from error
        value = str(first["input"])[:64]
        raise MalformedRequest(f"The query parameter {first['loc'][0]} is {value!r}: {first['msg']}.") from error


def refuse_query(request: Request) -> None:
    """Raise MalformedRequest if there are query parameters."""
    if request.query_params:
        raise MalformedRequest("This route takes no query parameters. Send it without.")


def prefers_png(request: Request) -> bool:
    """Whether the Accept header prefers PNG to JSON. Without a preference it is JSON."""
    ranges: dict[str, float] = {}
    for item in ",".join(request.headers.getlist("accept")).split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            ranges[media] = float(quality)
        except ValueError:
            ranges[media] = 0.0

    def quality_of(media: str) -> float:
        family = media.split("/")[0] + "/*"
        return next((ranges[name] for name in (media, family, "*/*") if name in ranges), 0.0)

    return quality_of(PNG) > quality_of(JSON)
