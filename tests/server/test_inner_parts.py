"""Inner parts of other packages that the server relies on, a test each, so that an upgrade fails here.

| where | of | inner part | what is relied on |
| --- | --- | --- | --- |
| `bento_service` | circus (kantoku) | `SysHandler.handle_hup` | SIGHUP calls it, and does nothing else |
| `bento_service` | circus (kantoku) | `Controller.start` | `check_delay` is in milliseconds, and read here |
| `bento_service` | BentoML | `BentoMLContainer.tracing.exporter_type` | None unless its configuration says so |
| `bento_service` | BentoML | deployment hooks | run without a worker, in the process that starts them |
| `connections.install` | uvicorn | `http.auto.AutoHTTPProtocol` | looked up when a server is configured |
| `connections.Connection` | uvicorn | `HttpToolsProtocol` | parameters, attributes; all begins in `_start_asgi_task` |
| `connections.Parser` | httptools | `HttpParserUpgrade` | says where the head ends; `should_upgrade` knows before |
| `metrics.forget_the_dead` | prometheus-client | names of its files | `gauge_live…_PROCESS.db` |
"""

from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httptools
import pytest
import uvicorn
import uvicorn.protocols.http.auto
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from phototriage.server import connections
from phototriage.server.connections import Connection
from tests.running_server import ROOT
from tests.server.test_connection import GET, POST, Wire, answer, reply, turns

# What of uvicorn's connection ours has in its place, and with which parameters.
OVERRIDDEN = {
    "_start_asgi_task": ["self", "cycle", "app"],
    "connection_lost": ["self", "exc"],
    "connection_made": ["self", "transport"],
    "data_received": ["self", "data"],
    "on_headers_complete": ["self"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "send_400_response": ["self", "msg"],
    "shutdown": ["self"],
}
USED = {"access_log", "connections", "cycle", "headers", "loop", "parser", "pipeline", "transport", "url"}
USED_OF_CYCLE = {"disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started"}
OFFER = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def python(code: str, **environment: str) -> str:
    """What a process of its own prints: some of these parts are to be changed but once."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


HOOKED = """
from types import SimpleNamespace
from circus import controller, sighandler
from phototriage.server import bento_service
bento_service.have_others_reload = lambda: print("reloaded")
bento_service.hook_circus(lambda: None)
"""


def test_circus_hands_sighup_to_handle_hup() -> None:
    code = """
import signal
handler = object.__new__(sighandler.SysHandler)
handler.controller = SimpleNamespace(loop=SimpleNamespace(add_callback_from_signal=lambda _: None))
handler.signal(signal.SIGHUP)
"""
    assert python(HOOKED + code) == "reloaded\n"


def test_circus_looks_for_dead_workers_every_check_delay_milliseconds() -> None:
    code = """
def repeat(callback, milliseconds):
    return SimpleNamespace(start=lambda: print(callback, milliseconds))

controller.AsyncPeriodicCallback = repeat
controller.Controller.initialize = lambda _: None
begun = object.__new__(controller.Controller)
begun.arbiter = SimpleNamespace(manage_watchers="manage_watchers")
begun.check_delay = 10_000
begun.start()
"""
    assert python(HOOKED + code) == "manage_watchers 1000.0\n"


@pytest.mark.parametrize(
    ("options", "traced"), [("", "False"), ("services.phototriage.tracing.exporter_type=in_memory", "True")]
)
def test_bentoml_says_whether_it_is_to_trace(options: str, traced: str, tmp_path: Path) -> None:
    code = """
from phototriage.server import bento_service
bento_service.Phototriage.inject_config()
print(bento_service.is_traced())
"""
    assert python(code, BENTOML_CONFIG_OPTIONS=options, BENTOML_HOME=str(tmp_path)) == f"{traced}\n"


def test_bentoml_runs_deployment_hooks_without_a_worker(tmp_path: Path) -> None:
    code = """
import bentoml
from _bentoml_impl.server.serving import server_on_deployment

class Worker:
    hook = bentoml.on_deployment(lambda: print("before the workers"))

server_on_deployment(bentoml.service(name="worker")(Worker))
"""
    assert python(code, BENTOML_HOME=str(tmp_path)) == "before the workers\n"


def test_uvicorn_looks_its_protocol_up_when_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.protocols.http.auto, "AutoHTTPProtocol", HttpToolsProtocol)
    connections.install()
    config = uvicorn.Config(answer, log_config=None)
    config.load()
    assert config.http_protocol_class is Connection


def test_uvicorns_methods_take_what_ours_do() -> None:
    of_uvicorn = {name for name in vars(HttpToolsProtocol) if not name.startswith("__")}
    assert of_uvicorn & set(vars(Connection)) == set(OVERRIDDEN)
    for name, parameters in OVERRIDDEN.items():
        for kind in (HttpToolsProtocol, Connection):
            assert list(inspect.signature(getattr(kind, name)).parameters) == parameters, (kind, name)


class Plain(HttpToolsProtocol):
    """uvicorn's own connection, of which is kept what it begins to answer."""

    begun: list[RequestResponseCycle]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.begun.append(cycle)
        super()._start_asgi_task(cycle, app)


def connect(application: ASGIApp, transport: asyncio.Transport) -> Plain:
    config = uvicorn.Config(application, lifespan="off", log_config=None)
    config.load()
    connection = Plain(config=config, server_state=ServerState(), app_state={})
    connection.begun = []
    connection.connection_made(transport)
    return connection


def test_uvicorns_connection_has_the_attributes_that_ours_uses_and_not_those_that_it_adds() -> None:
    async def main() -> None:
        plain = connect(answer, Wire())
        plain.data_received(GET)
        await turns()
        assert set(vars(plain)) >= USED
        assert set(vars(plain.cycle)) >= USED_OF_CYCLE
        assert not {"_joined", "_answering", "_head_bytes", "_timer"} & set(dir(plain))

    asyncio.run(main())


def test_uvicorn_begins_every_request_in_one_place() -> None:
    """Also one that was sent before the answer to another."""

    async def main() -> None:
        plain = connect(answer, Wire())
        plain.data_received(GET + GET)
        await turns()
        assert len(plain.begun) == 2
        assert plain.begun[-1] is plain.cycle
        assert not plain.pipeline

    asyncio.run(main())


def test_uvicorn_writes_the_head_by_itself_and_says_that_the_answer_has_started() -> None:
    class Told(Wire):
        plain: Plain

        def write(self, data: Any) -> None:
            states.append((bytes(data)[:4], self.plain.cycle.response_started, self.plain.cycle.response_complete))

    states: list[tuple[bytes, bool, bool]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await reply(send)

    async def main() -> None:
        wire = Told()
        wire.plain = connect(application, wire)
        wire.plain.data_received(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n") + b"body")
        await turns()

    asyncio.run(main())
    assert states == [(b"HTTP", False, False), (b"HTTP", True, False), (b"ok", True, False)]


def test_httptools_tells_of_an_offer_with_the_head_and_where_it_ends() -> None:
    known: list[bool] = []
    parser: httptools.HttpRequestParser = httptools.HttpRequestParser(
        SimpleNamespace(on_headers_complete=lambda: known.append(parser.should_upgrade()))
    )
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    with pytest.raises(httptools.HttpParserUpgrade) as caught:
        parser.feed_data(OFFER + b"body")
    assert caught.value.args == (len(OFFER),)
    assert known == [True]
    assert (parser.get_method(), parser.get_http_version()) == (b"GET", "1.1")
    assert not issubclass(httptools.HttpParserUpgrade, httptools.HttpParserError)


def test_prometheus_names_the_files_of_live_gauges_by_process(tmp_path: Path) -> None:
    code = """
from phototriage.common.metrics import QUEUE_DEPTH, forget_the_dead
from pathlib import Path
import os, sys
QUEUE_DEPTH.set(3)
gone = Path(sys.argv[1], f"gauge_livesum_{os.getpid()}.db").rename(Path(sys.argv[1], "gauge_livesum_4194305.db"))
forget_the_dead()
print(gone.exists())
"""
    code = code.replace("sys.argv[1]", repr(str(tmp_path)))
    assert python(code, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) == "False\n"
