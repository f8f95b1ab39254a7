"""HTTP responses and failures of httpx, to answers and to errors of this client."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from phototriage_client.answers import ProblemDetails
from phototriage_client.errors import ClientError, ConnectionFailed, Problem, TimedOut, UnexpectedAnswer

Answer = TypeVar("Answer", bound=BaseModel)

PNG_BEGINNING = b"\x89PNG\r\n\x1a\n"
SHOWN = 200  # characters of a text that is no problem document

# Before any of the request was sent.
_NOT_BEGUN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# What no other attempt would change.
_LASTING = (httpx.LocalProtocolError, httpx.ProxyError, httpx.UnsupportedProtocol)


def json_of(model: type[Answer]) -> Callable[[httpx.Response], Answer]:
    """A reader of answers. It raises UnexpectedAnswer."""

    def read(response: httpx.Response) -> Answer:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the body"
            raise UnexpectedAnswer(
                f"{response.request.url.copy_with(query=None)} gave no {model.__name__}: {place}: {first['msg']}. Is "
                "it a Phototriage server, and this client no older than it?"
            ) from error

    return read


def png_of(response: httpx.Response) -> bytes:
    """Raises UnexpectedAnswer."""
    if not response.content.startswith(PNG_BEGINNING):
        raise UnexpectedAnswer(f"{response.request.url.copy_with(query=None)} gave no PNG. Is it a Phototriage server?")
    return response.content


def text_of(response: httpx.Response) -> str:
    return response.text


def error_of(response: httpx.Response) -> ClientError | None:
    """None where the response is an answer."""
    if response.is_success:
        return None
    if response.status_code < 400:
        place = response.headers.get("location", "nowhere")
        return UnexpectedAnswer(
            f"The server answers with status {response.status_code} and leads to {place[:SHOWN]}. Give the client the "
            "address that it leads to."
        )
    return Problem.of(_details(response), response.headers.get("x-request-id"), _retry_after(response))


def error_of_failure(failure: httpx.RequestError, seconds: float) -> ClientError:
    """`seconds` is the timeout that was set."""
    place = failure.request.url.copy_with(query=None)
    error: ClientError
    if isinstance(failure, httpx.TimeoutException):
        what = type(failure).__name__.removesuffix("Timeout").lower()
        error = TimedOut(
            f"{place}: no end of {what} within its timeout (the client's is {seconds:g} s for an answer). Is the "
            "server reachable, and its deadline shorter than that?",
            begun=not isinstance(failure, _NOT_BEGUN),
        )
    elif isinstance(failure, httpx.TransportError):
        lasting = isinstance(failure, _LASTING) or _is_distrusted(failure)
        error = ConnectionFailed(
            f"{place}: {str(failure) or type(failure).__name__}. Is the server running, and is this its address?",
            temporary=not lasting,
            begun=not isinstance(failure, _NOT_BEGUN),
        )
    else:
        error = UnexpectedAnswer(f"{place}: {failure}. Is it a Phototriage server?")
    error.__cause__ = failure
    return error


def _is_distrusted(failure: BaseException) -> bool:
    """Whether the server's certificate is the reason."""
    seen: BaseException | None = failure
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _details(response: httpx.Response) -> ProblemDetails:
    status = response.status_code
    try:
        details = ProblemDetails.model_validate_json(response.content)
    except ValidationError:
        text = " ".join(response.text.split())[:SHOWN] or "The answer is empty."
        title = response.reason_phrase or "The request failed"
        return ProblemDetails(title=title, status=status, code=f"http_{status}", detail=text)
    return details.model_copy(update={"status": status})


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from seconds or from a date; the latter by the server's own clock, if it tells it."""
    text = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text) if text else None
    except ValueError:
        until = _date(text)
        now = _date(response.headers.get("date", "")) or datetime.now(UTC)
        seconds = (until - now).total_seconds() if until else None
    return seconds if seconds is not None and math.isfinite(seconds) and seconds >= 0 else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
