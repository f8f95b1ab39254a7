"""A connection by itself, without a socket: what it sends, write by write, and what it keeps."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from phototriage.server import connections
from phototriage.server.connections import Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await reply(send)


async def answer_unread(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send)


async def reply(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def connect(application: ASGIApp) -> tuple[Connection, Wire]:
    config = uvicorn.Config(application, lifespan="off", log_config=None)
    config.load()
    connection, wire = Connection(config=config, server_state=ServerState(), app_state={}), Wire()
    connection.connection_made(wire)
    return connection, wire


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def answers(wire: Wire) -> int:
    """How many have gone out."""
    return b"".join(wire.sent).count(b"HTTP/1.1 200 OK\r\n")


def test_requests_that_come_together_are_answered_one_after_another() -> None:
    async def main() -> None:
        connection, wire = connect(answer)
        connection.data_received(GET + GET)
        await turns()
        whole = b"".join(wire.sent)
        assert answers(wire) == whole.count(b"\r\n\r\nok") == 2
        assert whole.endswith(b"\r\n\r\nok")

    run(main)


def test_uvicorns_own_line_is_not_put_together(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        connection, wire = connect(answer)
        connection.data_received(GET)
        await turns()
        assert answers(wire) == 1

    with caplog.at_level(logging.INFO, "uvicorn.access"):
        run(main)
    assert not caplog.records


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("application", [answer, answer_unread])
def test_a_lost_connection_leaves_nothing_to_the_garbage_collector(application: ASGIApp) -> None:
    async def main() -> None:
        connection, _ = connect(application)
        connection.data_received(POST + b"body")
        await turns()
        cycle = weakref.ref(connection.cycle)
        connection.connection_lost(None)
        del connection
        await turns()
        assert cycle() is None

    run(main)


def test_a_body_that_comes_behind_another_answer_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.05)

    async def main() -> None:
        go = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await (go.wait() if scope["method"] == "GET" else drained(receive))
            await reply(send)

        connection, wire = connect(slow)
        connection.data_received(GET + POST + b"bo")
        await turns()
        go.set()
        await turns()
        assert answers(wire) == 1
        await asyncio.sleep(0.2)
        connection.data_received(b"dy")
        await turns()
        assert answers(wire) == 2
        await asyncio.sleep(0.2)
        assert not wire.closed

    run(main)


def test_what_is_still_sent_after_its_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.05)

    async def main() -> None:
        connection, wire = connect(answer_unread)
        connection.data_received(POST + b"bo")
        await turns()
        assert answers(wire) == 1
        assert not wire.closed
        await asyncio.sleep(0.2)
        assert wire.closed

    run(main)


def drained(receive: Receive) -> Awaitable[None]:
    async def read() -> None:
        while (await receive()).get("more_body"):
            pass

    return read()
