"""Every answer has an id, refusals above all: by it a caller's complaint is found in the log."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from phototriage.common.errors import Overloaded
from phototriage.models.model_set import Models
from phototriage.server.connections import Connection
from phototriage.server.http_api import HttpApi
from phototriage.server.serving import Serving
from phototriage.server.work_queue import WorkQueue
from phototriage.settings import Settings
from phototriage.triage import pipeline
from tests.asgi_client import AsgiClient
from tests.server.test_connection import GET, answer, connect, run
from tests.tiny_models import solid

KEY = {"x-api-key": "a-key-of-16-signs"}
PNG = {"content-type": "image/png"}
RED = solid((255, 0, 0))


@pytest.fixture
def api(settings: Settings, models: Models) -> Iterator[HttpApi]:
    own = {"api_keys": ("a-key-of-16-signs",), "log_requests": True, "deadline_seconds": 0.5, "max_image_bytes": 50_000}
    api = HttpApi()
    api.start(Settings(**settings.model_dump() | own), models)
    yield api
    api.stop()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


Call = tuple[int, str, str, dict[str, Any]]
CALLS: dict[str, Call] = {
    "no such path": (404, "GET", "/nowhere", {}),
    "no such method": (405, "DELETE", "/v1/classify", {}),
    "a method that nobody knows": (405, "BREW", "/v1/classify", {}),
    "no key": (401, "POST", "/v1/classify", {"content": RED, "headers": PNG}),
    "a wrong key": (401, "GET", "/v1/models", {"headers": {"authorization": "Bearer wrong"}}),
    "metrics without a key": (401, "GET", "/metrics", {}),
    "reload without a key": (401, "POST", "/v1/models/reload", {}),
    "too large by its header": (413, "POST", "/v1/classify", {"content": bytes(60_000), "headers": PNG | KEY}),
    "a wrong query": (400, "POST", "/v1/classify?nothing=1", {"content": RED, "headers": PNG | KEY}),
    "a wrong type": (400, "POST", "/v1/classify", {"content": b"{}", "headers": KEY}),
    "no form": (400, "POST", "/v1/triage/batch", {"content": b"", "headers": KEY}),
    "no model": (404, "POST", "/v1/classify?model=none", {"content": RED, "headers": PNG | KEY}),
    "no image": (415, "POST", "/v1/classify", {"content": b"text", "headers": PNG | KEY}),
    "half an image": (422, "POST", "/v1/classify", {"content": RED[:50], "headers": PNG | KEY}),
}


@pytest.mark.parametrize("name", CALLS)
def test_refusals_of_a_request(api: HttpApi, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, method, path, options = CALLS[name]
    assert_has_id(api, status, method, path, capsys, **options)


def assert_has_id(
    api: HttpApi, status: int, method: str, path: str, capsys: pytest.CaptureFixture[str], **options: Any
) -> None:
    given = AsgiClient(api, raise_errors=False).request(method, path, **options)
    assert given.status_code == status
    (line,) = logged(capsys)
    assert re.fullmatch("[0-9a-f]{32}", given.headers["x-request-id"])
    assert (line["request_id"], line["status"]) == (given.headers["x-request-id"], status)


def test_refusals_before_the_models_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    given = AsgiClient(HttpApi()).get("/readyz")
    assert (given.status_code, len(given.headers["x-request-id"])) == (503, 32)


def test_refusals_of_a_full_queue(
    api: HttpApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: WorkQueue) -> None:
        raise Overloaded("Full.")

    monkeypatch.setattr(WorkQueue, "refuse_if_full", refuse)
    assert_has_id(api, 503, "POST", "/v1/classify", capsys, content=RED, headers=PNG | KEY)


def test_refusals_while_the_server_stops(
    api: HttpApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Connection, "draining", True)
    assert_has_id(api, 503, "GET", "/readyz", capsys)


def test_refusals_while_models_are_read(
    api: HttpApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(_: Serving) -> None:
        raise Overloaded("Again already.")

    monkeypatch.setattr(Serving, "reload", refuse)
    assert_has_id(api, 503, "POST", "/v1/models/reload", capsys, headers=KEY)


def test_answers_that_come_too_late(
    api: HttpApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = Event()
    monkeypatch.setattr(pipeline, "run_models", lambda *_: hold.wait(5))
    try:
        assert_has_id(api, 504, "POST", "/v1/classify", capsys, content=RED, headers=PNG | KEY)
    finally:
        hold.set()


def test_bugs(api: HttpApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "make_plan", fail)
    assert_has_id(api, 500, "POST", "/v1/classify", capsys, content=RED, headers=PNG | KEY)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (GET[:-2] + b"X: " + b"x" * 70_000, 431),
        (GET[:-2], 408),
    ],
)
def test_refusals_of_a_connection(
    sent: bytes, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Connection, "head_seconds", 0.001)
    monkeypatch.setattr(Connection, "writes_lines", True)

    async def main() -> None:
        connection, wire = connect(answer)
        connection.data_received(sent)
        for _ in range(1000):
            if wire.closed:
                break
            await asyncio.sleep(0.001)
        head = b"".join(wire.sent).partition(b"\r\n\r\n")[0].decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        (found,) = re.findall("^x-request-id: ([0-9a-f]{32})\r?$", head, re.MULTILINE)
        (line,) = logged(capsys)
        assert (line["request_id"], line["status"], line["route"]) == (found, status, "other")

    run(main)
