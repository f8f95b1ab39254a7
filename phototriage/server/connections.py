"""HTTP connections that may not take their time: a uvicorn protocol with limits that uvicorn itself doesn't have.

Slow or endless request heads are cut, so is what goes on being sent after its answer; an offer of another protocol is
passed over, and idle connections get a last chance while the server stops. Everything else is uvicorn's.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import httptools
import uvicorn.protocols.http.auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from phototriage.common import metrics
from phototriage.server import request_log

MAX_HEAD_BYTES = 65_536
MAX_CONNECTIONS = 2_000  # each may hold a head and a piece of a body
LINGER_SECONDS = 5.0  # for a client that reads its answer while it still sends
DRAIN_SECONDS = 1.0  # for a request that is on its way on an idle connection while the server stops


_OFFER = (b"connection", b"upgrade", b"http2-settings")
_TOO_LONG = b"The request's head is too long."
_TOO_SLOW = b"The request's head took too long to come in."


class Parser:
    """httptools' parser, but a request that offers to go on in another protocol is read as one that doesn't.

    An offer, as every client of HTTP/2 without TLS makes it, may be passed over (RFC 9110, 7.8), but httptools takes
    what follows the head for the other protocol, so that the request's body would be lost.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parser = httptools.HttpRequestParser(connection)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def feed_data(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            method = self._parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("CONNECT asks for another server") from offer
            lines = [b"%b %b HTTP/%b" % (method, self._connection.url, self._parser.get_http_version().encode())]
            lines += [b"%b: %b" % field for field in self._connection.headers if field[0] not in _OFFER]
            self._parser = httptools.HttpRequestParser(self._connection)
            self._parser.feed_data(b"\r\n".join([*lines, b"", b""]) + data[offer.args[0] :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class Connection(HttpToolsProtocol):
    """A client's connection."""

    head_seconds: ClassVar[float] = 10.0  # for a request's head, from its first byte or from the connection's begin
    draining: ClassVar[bool] = False
    application: ClassVar[Any] = None  # an ASGI application that answers in place of the server's
    writes_lines: ClassVar[bool] = False  # of the log, about what no application has seen

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.access_log = False  # its lines, which nothing takes here, would be put together all the same
        self.parser = Parser(self)  # type: ignore[assignment]
        self._answering: RequestResponseCycle | None = None
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > MAX_CONNECTIONS:
            self._cut("too_many")
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        if before is None or (before.response_complete and not before.more_body):
            if self._timer is None:
                self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        # A head that is still incomplete has left no new cycle.
        if self.cycle is before and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._cut("long_head", 431, _TOO_LONG)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the parser is going to read this head again
        self._stop_timer()
        self._head_bytes = 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        # Of a body that comes behind another request's answer the begin may be here already.
        if self._answering is not None and self._answering.more_body and not self.transport.is_closing():
            self._stop_timer()
            self._timer = self.loop.call_later(LINGER_SECONDS, self._cut, "still_sending")
        super().on_response_complete()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        # uvicorn forgets to note the end of a body that came in after its answer.
        if self.cycle is not None and self.cycle.response_complete:
            self.cycle.more_body = False
            self._stop_timer()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._answering is not None and not self._answering.response_complete:
            metrics.CUT.labels("by_client").inc()
            # uvicorn tells the newest request alone, which needn't be the one that is being answered.
            self._answering.disconnected = True
            self._answering.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """As uvicorn's, but a request that is on its way on an idle connection is still answered."""
        type(self).draining = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(DRAIN_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        if self.draining:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, self.application or app)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._cut, "slow_head", 408, _TOO_SLOW)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self, reason: str, status: int | None = None, text: bytes = b"") -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        metrics.CUT.labels(reason).inc()
        if status is not None:
            self._refuse(status, text)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, for what isn't HTTP, but with an id."""
        self._refuse(400, msg.encode("ascii"))
        self.transport.close()

    def _refuse(self, status: int, text: bytes) -> None:
        """Answer what no application has seen, with the id that every answer has, and in the log, too."""
        trace = request_log.trace_of(None)
        head = b"HTTP/1.1 %d \r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
        own = b"x-request-id: %b\r\nconnection: close\r\n\r\n" % trace.trace_id.encode()
        self.transport.write(head % (status, len(text)) + own + text)
        if self.writes_lines:
            request_log.write(trace, "other", "other", status, 0.0)


def install() -> None:
    """Have the server that is going to start in this process use it."""
    uvicorn.protocols.http.auto.AutoHTTPProtocol = Connection
