"""Traces of OpenTelemetry, where BentoML's own setting asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running_server import SECONDS, Server
from tests.tiny_models import solid

RED = solid((255, 0, 0))
SAMPLED = 1
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"  # the example of W3C Trace Context


@pytest.fixture(scope="module")
def server(models_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = "services.phototriage.tracing"
    options = f"{place}.exporter_type=in_memory {place}.sample_rate=1.0"
    server = Server(tmp_path_factory.mktemp("server"), models_directory, BENTOML_CONFIG_OPTIONS=options)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


def ask(server: Server, **headers: str) -> tuple[int, list[str]]:
    """Status, and the parts of the answer's traceparent."""
    response = httpx.post(
        server.address + "/v1/classify", content=RED, headers={"content-type": "image/png", **headers}, timeout=SECONDS
    )
    assert response.headers["x-request-id"] == response.headers["traceparent"].split("-")[1]
    return response.status_code, response.headers["traceparent"].split("-")


def test_a_request_without_a_trace_gets_one_that_is_recorded(server: Server) -> None:
    status, (_, trace, _, flags) = ask(server)
    assert status == 200
    assert int(flags, 16) & SAMPLED  # by OpenTelemetry, since a trace of our own never is
    assert trace != TRACE


def test_a_callers_trace_goes_on(server: Server) -> None:
    status, (_, trace, span, flags) = ask(server, traceparent=f"00-{TRACE}-{PARENT}-01")
    assert (status, trace) == (200, TRACE)
    assert int(flags, 16) & SAMPLED
    assert span != PARENT


def test_bad_requests_are_answered_as_ever(server: Server) -> None:
    response = httpx.post(server.address + "/v1/classify", content=b"x", timeout=SECONDS)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert httpx.get(server.address + "/nowhere").status_code == 404
