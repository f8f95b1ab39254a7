"""Calls from pages of other origins: what a browser asks before, and what lets a page read an answer."""

from __future__ import annotations

import pytest

from phototriage.common import metrics
from phototriage.contract.routes import OPERATIONS
from phototriage.models.model_set import Models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.tiny_models import solid

PAGE = "https://photos.example"
KEY = "a-key-of-16-signs"
RED = solid((255, 0, 0))
ASKED = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def serve(settings: Settings, models: Models, *origins: str, key: str | None = KEY) -> AsgiClient:
    api = HttpApi()
    keys = () if key is None else (key,)
    api.start(Settings(**settings.model_dump() | {"cors_origins": origins, "api_keys": keys}), models)
    return AsgiClient(api)


def listed(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def counted() -> list[bytes]:
    """What the metrics say of requests."""
    return [line for line in metrics.exposition().splitlines() if line.startswith(b"phototriage_")]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
def test_every_route_may_be_asked_about_without_a_key(settings: Settings, models: Models, operation: object) -> None:
    client = serve(settings, models, "https://other.example", PAGE)
    path, method = operation.path, operation.method  # type: ignore[attr-defined]
    answer = client.request("OPTIONS", path, headers=ASKED | {"access-control-request-method": method})
    assert (answer.status_code, answer.content) == (204, b"")
    headers = answer.headers
    assert headers["access-control-allow-origin"] == PAGE
    assert method.lower() in listed(headers["access-control-allow-methods"])
    taken = listed(headers["access-control-allow-headers"])
    assert {"authorization", "x-api-key", "content-type", "accept", "x-request-id"} <= taken
    assert headers["access-control-max-age"] == "600"
    assert headers["vary"] == "Origin"
    assert headers["x-request-id"]
    assert "access-control-allow-credentials" not in headers


def test_answers_and_refusals_can_be_read_by_the_page(settings: Settings, models: Models) -> None:
    client = serve(settings, models, PAGE)
    key, page = {"x-api-key": KEY}, {"origin": PAGE, "content-type": "image/png"}
    for status, answer in (
        (200, client.post("/v1/classify", content=RED, headers=page | key)),
        (401, client.post("/v1/classify", content=RED, headers=page)),
        (415, client.post("/v1/classify", content=b"text", headers=page | key)),
        (404, client.get("/nowhere", headers=page)),
        (405, client.get("/v1/classify", headers=page)),
    ):
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert {"x-request-id", "retry-after"} <= listed(answer.headers["access-control-expose-headers"])
        assert "Origin" in answer.headers.get_list("vary")
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "http://photos.example", PAGE + ":8443", "null", ""])
def test_a_page_of_another_origin_may_not(settings: Settings, models: Models, origin: str) -> None:
    client = serve(settings, models, PAGE)
    asked = client.request("OPTIONS", "/v1/classify", headers=ASKED | {"origin": origin})
    read = client.get("/livez", headers={"origin": origin})
    for answer in (asked, read, client.get("/livez")):
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"  # a cache must not give one page the answer to another


def test_any_origin(settings: Settings, models: Models) -> None:
    client = serve(settings, models, "*")
    for answer in (client.request("OPTIONS", "/v1/embed", headers=ASKED), client.get("/livez")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "vary" not in answer.headers


def test_off_by_default(settings: Settings, models: Models) -> None:
    client = serve(settings, models)
    answer = client.request("OPTIONS", "/v1/classify", headers=ASKED)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for each in (answer, client.get("/livez", headers={"origin": PAGE})):
        assert not [name for name in each.headers if name.startswith("access-control")]
        assert "vary" not in each.headers


def test_only_what_a_browser_asks_is_answered_so(settings: Settings, models: Models) -> None:
    client = serve(settings, models, PAGE)
    assert client.request("OPTIONS", "/v1/classify", headers={"origin": PAGE}).status_code == 405
    assert client.request("OPTIONS", "/nowhere", headers={"origin": PAGE}).status_code == 404
    assert client.request("OPTIONS", "/nowhere", headers=ASKED).status_code == 204  # so that it can read the 404


def test_what_is_asked_before_is_no_work(
    settings: Settings, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(Settings(**settings.model_dump() | {"log_requests": True}), models, PAGE)
    before = counted()
    for _ in range(3):
        assert client.request("OPTIONS", "/v1/classify", headers=ASKED).status_code == 204
    assert counted() == before
    assert capsys.readouterr().err == ""
