"""The way from a path to its handler and back: errors as problems, the headers of every answer, its count, its line."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from phototriage.common import metrics
from phototriage.common.errors import Overloaded, PhototriageError
from phototriage.contract.operation import Method
from phototriage.server import error_responses, request_log
from phototriage.server.cors import Cors
from phototriage.server.error_responses import CLIENT_CLOSED_REQUEST
from phototriage.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE"])
READ_AT = "phototriage.read_at"  # in a scope: when its body was all there

# Every answer is data: nothing in it is to be guessed at, run, framed or kept.
SAFETY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]

logger = logging.getLogger(__name__)


class Route:
    """What answers on a path, by method; by HEAD too where by GET. A path may have names in braces: the caller's text
    stands for each, without a slash, but for a second one at the end."""

    def __init__(self, path: str, handlers: Mapping[Method, Handler]) -> None:
        self.path = path
        self.handlers: dict[str, Handler] = {str(method): handler for method, handler in handlers.items()}
        if "GET" in handlers:
            self.handlers["HEAD"] = handlers["GET"]
        parts = re.split(r"{(\w+)}", path)
        names = parts[1::2]
        last = names[-1] if len(names) > 1 and not parts[-1] else None
        self.is_template = bool(names)
        self._pattern = re.compile(
            "".join(
                re.escape(part) if place % 2 == 0 else f"(?P<{part}>{'.+' if part == last else '[^/]+'})"
                for place, part in enumerate(parts)
            ),
            re.DOTALL,
        )

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.handlers)

    def match(self, path: str) -> dict[str, str] | None:
        """What stands for each name in a path of this route; None if it is of another."""
        found = self._pattern.fullmatch(path)
        return None if found is None else found.groupdict()


class Router:
    """An ASGI application. Starlette's would do as well, at a tenth of a millisecond more a request."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._templates = [route for route in routes.values() if route.is_template]
        self._writes_lines = False
        self._cors: Cors | None = None

    def configure(self, settings: Settings) -> None:
        """Whether answers are written down, and pages of which origins may read them."""
        self._writes_lines = settings.log_requests
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, add the headers that every answer has, count it and write it down."""
        if scope["type"] != "http":
            await _refuse_socket(scope, receive, send)
            return
        start, status = perf_counter(), CLIENT_CLOSED_REQUEST
        trace = request_log.trace_of(next((value for name, value in scope["headers"] if name == b"traceparent"), None))
        own = [*SAFETY_HEADERS, (b"x-request-id", trace.trace_id.encode()), (b"traceparent", trace.header)]
        # Paths are the caller's to choose: an unknown one must not become a label.
        found = self._route(scope)
        route = "other" if found is None else found.path
        if self._cors is not None:
            own += self._cors.headers(scope["headers"])
            if self._cors.is_preflight(scope["method"], scope["headers"]):
                # A question about a request is none itself: it has no key, isn't counted and not written down. Of a
                # path that isn't there, too: the page is to read the 404.
                methods = METHODS if found is None else found.methods
                await _send(send, self._cors.preflight(sorted(methods)), own)
                return
        try:
            response = await self._respond(Request(scope, receive), found, start)
            if response is not None:
                status = response.status_code
                await _send(send, response, own)
        finally:
            seconds = perf_counter() - start
            answers, durations = metrics.answered(route, status)
            answers.inc()
            durations.observe(seconds)
            if self._writes_lines:
                method = scope["method"] if scope["method"] in METHODS else "other"
                request_log.write(trace, method, route, status, seconds)

    def _route(self, scope: Scope) -> Route | None:
        """The route of a path; what stands for its names goes into the scope."""
        route: Route | None = self.routes.get(scope["path"])
        if route is not None and not route.is_template:
            return route
        for each in self._templates:
            names = each.match(scope["path"])
            if names is not None:
                scope["path_params"] = names
                return each
        return None

    async def _respond(self, request: Request, route: Route | None, start: float) -> Response | None:
        """The answer, or the problem; None where the caller went away while it was sending."""
        try:
            if route is None:
                return error_responses.not_found()
            handler = route.handlers.get(request.method)
            if handler is None:
                return error_responses.method_not_allowed(route.methods)
            return await handler(request)
        except ClientDisconnect:
            return None
        except PhototriageError as error:
            if isinstance(error, Overloaded):
                metrics.REFUSALS.observe(perf_counter() - request.scope.get(READ_AT, start))
            return error_responses.of_error(error)
        except Exception:
            logger.exception("A request failed")
            return error_responses.of_bug()


async def _send(send: Send, response: Response, own: list[tuple[bytes, bytes]]) -> None:
    """Send it with the headers that every answer has, but not put them into it: it may be a kept one."""
    headers = [*response.raw_headers, *own]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _refuse_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """There are no web sockets here, and nothing to be done at the begin and end of an ASGI server's life."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
