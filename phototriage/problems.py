"""Every failure as `application/problem+json` (RFC 9457): ours, the framework's, and those nobody foresaw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from phototriage.errors import Overloaded, PhototriageError, Unauthorized
from phototriage.schemas import Problem

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
CLIENT_CLOSED_REQUEST = 499  # for the metrics alone, as other servers count it; nobody is left to read it

_HEADERS: Mapping[type[PhototriageError], Mapping[str, str]] = {
    Overloaded: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    Unauthorized: {"WWW-Authenticate": "Bearer"},
}
_WHAT_TO_DO = {
    404: "There is no such route. GET /docs.json lists all routes.",
    405: "The route doesn't take this method. GET /docs.json lists what it takes.",
}


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def of_error(_: Request, error: PhototriageError) -> Response:
    """A failure that the caller can act on."""
    return respond(problem_of(error), _HEADERS.get(type(error)))


def problem_of(error: PhototriageError) -> Problem:
    """As an answer, or a part of one, tells it."""
    return Problem(title=error.title, status=error.status, code=error.code, detail=error.detail)


def of_http_exception(_: Request, error: HTTPException) -> Response:
    """What the router refuses: an unknown path or method."""
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_").replace("-", "_")
    detail = _WHAT_TO_DO.get(error.status_code, title)
    return respond(Problem(title=title, status=error.status_code, code=code, detail=detail), error.headers)


def of_bug(_: Request, __: Exception) -> Response:
    """What nobody foresaw. The log has the traceback, the answer hasn't."""
    problem = Problem(
        title="The server failed",
        status=500,
        code="internal_error",
        detail="This is a fault of the server, which its log describes. The request can be sent again.",
    )
    return respond(problem)


def of_disconnect(_: Request, __: Exception) -> Response:
    """A caller that went away while it sent its body: no answer reaches it, and no trace belongs in the log."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


HANDLERS: Mapping[Any, Callable[[Request, Any], Response]] = {
    PhototriageError: of_error,
    HTTPException: of_http_exception,
    ClientDisconnect: of_disconnect,
    Exception: of_bug,
}
