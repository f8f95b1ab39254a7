"""Every failure as a response, `application/problem+json` (RFC 9457), with its status: 404, 413, 503 and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from phototriage.common.errors import Overloaded, PhototriageError, StoreUnavailable, Unauthorized
from phototriage.common.metrics import STORE_ERRORS
from phototriage.triage.problems import bug, problem_of
from phototriage.triage.schemas import Problem

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
CLIENT_CLOSED_REQUEST = 499  # for the metrics alone, as other servers count it; nobody is left to read it

_HEADERS: Mapping[type[PhototriageError], Mapping[str, str]] = {
    Overloaded: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    StoreUnavailable: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    Unauthorized: {"WWW-Authenticate": "Bearer"},
}


def count_store_error(error: PhototriageError) -> None:
    """Count it if what keeps collections is to blame."""
    if isinstance(error, StoreUnavailable):
        STORE_ERRORS.inc()


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def of_error(error: PhototriageError) -> Response:
    """A failure that the caller can act on."""
    count_store_error(error)
    return respond(problem_of(error), _HEADERS.get(type(error)))


def not_found() -> Response:
    return respond(
        Problem(
            title="Not Found",
            status=404,
            code="not_found",
            detail="There is no such route. GET /docs.json lists all routes.",
        )
    )


def method_not_allowed(methods: Sequence[str]) -> Response:
    problem = Problem(
        title="Method Not Allowed",
        status=405,
        code="method_not_allowed",
        detail="The route doesn't take this method. GET /docs.json lists what it takes.",
    )
    return respond(problem, {"Allow": ", ".join(methods)})


def of_bug() -> Response:
    """What nobody foresaw. The log has the traceback, the answer hasn't."""
    return respond(bug())
