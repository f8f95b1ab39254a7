"""The requests of the Python client: every route of the OpenAPI document, every parameter, and how images go."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from phototriage_client import AsyncClient, Client, Embedding, Problem

from tests.tiny_models import solid

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "clients/openapi.json").read_text(encoding="utf-8"))
NOT_ASKED = {"/healthz", "/docs.json"}  # /livez under an older name; the document itself
RED = solid((255, 0, 0))
KEPT = Embedding(model="m", version="v", dimension=1, values="AACAPw==")


def requests_of_every_method() -> list[httpx.Request]:
    """What the client sends, with every option set."""
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        first = request.method == "GET" and "limit" in request.url.params and "after" not in request.url.params
        page = {"ids": [], "groups": [], "pairs": [], "next": 7}
        return httpx.Response(200, json=page) if first else httpx.Response(418)

    shared: dict[str, Any] = {"classifier": "c", "embedder": "e", "top_k": 2, "label": "l", "method": "featout"}
    deciding: dict[str, Any] = {"tags": ["s", "t"], "threshold": 0.5, "min_probability": 0.25}
    asking = {"collection": "c", "if_new": True, **shared, **deciding}
    with Client(transport=httpx.MockTransport(take)) as client:
        kept = client.collection("c")
        for ask in (
            lambda: client.classify(RED, model="m", top_k=1),
            lambda: client.difficulty(RED, model="m", label="l"),
            lambda: client.embed(RED, model="m"),
            lambda: client.saliency(RED, method="gradient", target="t", model="m"),
            lambda: client.saliency_png(RED, method="gradient", target="t", model="m"),
            lambda: client.duplicates(RED, KEPT, model="m", threshold=0.5, min_probability=0.25, explain=True),
            lambda: client.duplicates_png(RED, KEPT, model="m", threshold=0.5, min_probability=0.25),
            lambda: client.triage(RED, include=["classify", "embed"], target="t", id="i", **asking),
            lambda: client.triage_batch({"i": RED}, include=["classify"], target="t", add=True, **asking),
            client.models,
            client.reload,
            client.live,
            client.ready,
            client.metrics,
            client.collections,
            lambda: kept.create(model="m"),
            kept.info,
            kept.delete,
            lambda: kept.add(RED, "i", if_new=True, **deciding),
            lambda: kept.add_batch({"i": RED}, if_new=True, **deciding),
            lambda: kept.query(RED, id="i", top_k=2, **deciding),
            lambda: kept.query_batch([RED], top_k=2, **deciding),
            lambda: kept.photo("i", embedding=True),
            lambda: kept.delete_photo("i"),
            lambda: list(kept.photos(tags=["t"], page_size=3)),
            lambda: list(kept.groups(page_size=3, limit_ids=2)),
            lambda: list(kept.group("0", page_size=3)),
            lambda: list(kept.not_duplicates(page_size=3)),
            lambda: kept.mark_not_duplicates("i", "j"),
            lambda: kept.unmark_not_duplicates("i", "j"),
        ):
            with pytest.raises(Problem):
                ask()
    return sent


def route_of(request: httpx.Request) -> str:
    """The path as the document has it."""
    path = request.url.path.replace("/collections/c", "/collections/{collection}")
    return path.replace("/photos/i", "/photos/{id}").replace("/groups/0", "/groups/{group}")


def test_every_route_is_asked_with_every_parameter() -> None:
    asked = {(route_of(request), request.method.lower()): request for request in requests_of_every_method()}
    routes = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert {each for each in routes if each[0] not in NOT_ASKED} == set(asked)
    for (path, method), request in asked.items():
        operation = DOCUMENT["paths"][path][method]
        parameters = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        assert set(request.url.params) == set(parameters)


def test_each_question_may_be_asked_about_many() -> None:
    asked: list[str] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, text=json.dumps({}))

    async def take_in_loop(request: httpx.Request) -> httpx.Response:
        return take(request)

    def questions(client: Any) -> list[Any]:
        return [
            client.classify_many([b""], model="m", top_k=1),
            client.difficulty_many([b""], model="m"),
            client.embed_many([b""], model="m"),
            client.saliency_many([b""], method="featout", target="t", model="m"),
            client.triage_many([b""], include=["embed"], classifier="c", embedder="e", top_k=1, method="featout"),
        ]

    async def run() -> None:
        async with AsyncClient(transport=httpx.MockTransport(take_in_loop)) as client:
            for question in questions(client):
                _ = [item async for item in question]

    with Client(transport=httpx.MockTransport(take)) as client:
        for question in questions(client):
            list(question)
    expected = [
        "/v1/classify?model=m&top_k=1",
        "/v1/difficulty?model=m",
        "/v1/embed?model=m",
        "/v1/saliency?method=featout&target=t&model=m",
        "/v1/triage?include=embed&classifier=c&embedder=e&top_k=1&method=featout",
    ]
    assert asked == expected
    asyncio.run(run())
    assert [path.replace("%2C", ",") for path in asked] == expected * 2


def test_one_image_goes_as_the_body_and_several_as_parts() -> None:
    for request in requests_of_every_method():
        kind = request.headers.get("content-type", "")
        operation = DOCUMENT["paths"][route_of(request)][request.method.lower()]
        content = operation.get("requestBody", {}).get("content", {})
        if "application/octet-stream" in content:
            assert kind == "application/octet-stream"
        elif content:
            assert kind.startswith("multipart/form-data; boundary=")


def test_what_is_sent_is_what_was_asked() -> None:
    sent = {request.url.path: request for request in requests_of_every_method()}
    assert dict(sent["/v1/triage"].url.params) == {
        "include": "classify,embed",
        "classifier": "c",
        "embedder": "e",
        "top_k": "2",
        "label": "l",
        "method": "featout",
        "target": "t",
        "collection": "c",
        "id": "i",
        "tags": "s,t",
        "if_new": "true",
        "threshold": "0.5",
        "min_probability": "0.25",
    }
    assert dict(sent["/v1/collections/c/query"].url.params) == {
        "tags": "s,t",
        "threshold": "0.5",
        "min_probability": "0.25",
        "top_k": "2",
        "id": "i",
    }
    assert dict(sent["/v1/collections/c/groups"].url.params) == {"after": "7", "limit": "3", "limit_ids": "2"}
    assert dict(sent["/v1/duplicates"].url.params) == {
        "model": "m",
        "threshold": "0.5",
        "min_probability": "0.25",
        "explain": "true",
    }
    assert sent["/v1/classify"].content == RED
    assert b'name="embedding_b"\r\nContent-Type: application/json\r\n\r\n{"model":"m"' in sent["/v1/duplicates"].content
