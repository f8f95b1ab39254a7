"""What lets pages of other origins call the service from a browser (Fetch, 3.2): off unless origins are set.

Callers are known by their key, which a page has to send itself: cookies and the like (credentials) are never allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.responses import Response

ANY = "*"
MAX_AGE_SECONDS = 600  # for which a browser may go without asking again
TAKEN = b"Authorization, X-API-Key, Content-Type, Accept, X-Request-Id, Traceparent"
EXPOSED = b"X-Request-Id, Traceparent, Retry-After, WWW-Authenticate"

Headers = list[tuple[bytes, bytes]]


class Cors:
    """The origins whose pages may read answers: exact ones, or ANY."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, request_headers: Iterable[tuple[bytes, bytes]]) -> Headers:
        """What is added to any answer, of errors, too, to a request with these headers."""
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
        vary = [(b"vary", b"Origin")]
        origin = dict(request_headers).get(b"origin")
        if origin not in self._origins:
            return vary
        return [*vary, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED)]

    @staticmethod
    def is_preflight(method: str, request_headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a browser asks what a page may send, before it sends it."""
        names = {name for name, _ in request_headers} if method == "OPTIONS" else ()
        return b"origin" in names and b"access-control-request-method" in names

    @staticmethod
    def preflight(methods: Sequence[str]) -> Response:
        """The answer to that on a route of these methods; `headers` are to be added."""
        allowed = {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": TAKEN.decode(),
            "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        }
        return Response(status_code=204, headers=allowed)
