"""Many photos at once, as images or as embeddings; and groups in bounded pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from phototriage.collections.embedded_photos import MOST_BYTES, MOST_EMBEDDINGS
from phototriage.models.model_set import load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.server.test_openapi import DOCUMENT, assert_fits
from tests.tiny_models import png_of
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[2]
PHOTOS = [png_of(drawn_photo(number)) for number in range(3)]
COPY = png_of(np.ascontiguousarray(drawn_photo(1)[20:220, 30:300]))
BASE = "/v1/collections/kept"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpApi]:
    models = tmp_path_factory.mktemp("models")
    (models / "near_duplicates").symlink_to(ROOT / "exported_models/near_duplicates")
    collections = tmp_path_factory.mktemp("collections")
    settings = Settings(models_directory=models, threads=1, provider="cpu", log_requests=False, collections=collections)
    api = HttpApi()
    api.start(settings, load_models(settings))
    yield api
    api.stop()


@pytest.fixture(scope="module")
def embeddings(api: HttpApi) -> list[dict[str, Any]]:
    """Of the photos, and of the copy."""
    client = AsgiClient(api)
    return [
        client.post("/v1/embed", content=photo, headers={"content-type": "image/png"}).json()["embedding"]
        for photo in (*PHOTOS, COPY)
    ]


@pytest.fixture
def client(api: HttpApi) -> Iterator[AsgiClient]:
    """With an empty collection."""
    client = AsgiClient(api)
    assert client.request("PUT", BASE).status_code == 200
    yield client
    client.request("DELETE", BASE)


def send(client: AsgiClient, path: str, *photos: dict[str, Any]) -> list[dict[str, Any]]:
    """The results, which fit their schema."""
    response = client.post(f"{BASE}/{path}", content=json.dumps({"photos": photos}), headers=JSON)
    assert response.status_code == 200, response.text
    schema = "QueryBatchResponse" if "query" in path else "AddBatchResponse"
    assert_fits(response.json(), DOCUMENT["components"]["schemas"][schema])
    results: list[dict[str, Any]] = response.json()["results"]
    assert [each["index"] for each in results] == list(range(len(photos)))
    return results


def problem(response: httpx.Response, status: int, code: str) -> str:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    detail: str = response.json()["detail"]
    return detail


def told(results: list[dict[str, Any]]) -> list[str]:
    return [each["result"]["outcome"] if "result" in each else each["error"]["code"] for each in results]


def test_embeddings_are_added_as_the_photos_would_be(client: AsgiClient, embeddings: list[dict[str, Any]]) -> None:
    photos = [{"id": f"house/{place}", "embedding": each} for place, each in enumerate(embeddings)]
    results = send(client, "batch?if_new=true&tags=x", photos[0] | {"tags": ["y", "x"]}, *photos[1:])
    assert sorted(told(results)) == ["added"] * 3 + ["duplicate"]
    duplicate = next(each for each in results if "duplicate" in told([each]))["result"]
    assert duplicate["duplicates"][0]["verified"]
    kept = client.get(f"{BASE}/photos/house%2F0?embedding=true").json()
    assert (kept["embedding"], kept["tags"]) == (embeddings[0], ["x", "y"])
    alone = client.post(f"{BASE}/photos?id=house/2", content=PHOTOS[2], headers={"content-type": "image/png"}).json()
    assert alone["outcome"] == "unchanged"
    assert told(send(client, "batch", *photos[2:3])) == ["unchanged"]


def test_a_bad_one_is_reported_and_the_rest_go_in(client: AsgiClient, embeddings: list[dict[str, Any]]) -> None:
    good = embeddings[0]
    results = send(
        client,
        "batch",
        {"id": "a", "embedding": good},
        {"id": "b", "embedding": good | {"version": "0" * 16}},
        {"id": "c", "embedding": good | {"values": good["values"][:-8]}},
        {"id": "d", "embedding": good | {"signature": "AAAA"}},
        {"id": "a", "embedding": embeddings[1]},
        {"id": "..", "embedding": good},
        {"id": "x" * 513, "embedding": good},
        {"id": "", "embedding": good},
        {"id": "e", "embedding": good, "tags": ["a,b"]},
        {"id": "f", "embedding": good, "tags": [str(number) for number in range(33)]},
        {"id": "g", "embedding": {name: value for name, value in embeddings[1].items() if name != "signature"}},
    )
    assert told(results) == ["added", *["foreign_embedding"] * 3, *["malformed_request"] * 6, "added"]
    assert "Two photos are called 'a'" in results[4]["error"]["detail"]
    assert client.get(f"{BASE}/photos").json()["ids"] == ["a", "g"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "the text"),
        (b"{", "the text"),
        (b"[" * 10_000, "the text"),
        (b'"\xff"', "the text"),
        (b"[]", "the text"),
        (b"{}", "photos"),
        (b'{"photos": []}', "photos"),
        (b'{"photos": [{"id": "a"}]}', "photos.0.embedding"),
        (b'{"photos": [{"id": 1, "embedding": {}}]}', "photos.0.id"),
        (b'{"photos": [], "more": 1}', "photos"),
    ],
)
def test_another_body_is_refused_as_a_whole(client: AsgiClient, body: bytes, place: str) -> None:
    for path in ("batch", "query/batch") if b'"id"' not in body else ("batch",):
        detail = problem(client.post(f"{BASE}/{path}", content=body, headers=JSON), 400, "malformed_request")
        assert f"batch: {place}: " in detail


def test_limits_are_said(client: AsgiClient, embeddings: list[dict[str, Any]]) -> None:
    small = {name: value for name, value in embeddings[0].items() if name != "signature"}
    photos = [{"id": str(number), "embedding": small} for number in range(MOST_EMBEDDINGS + 1)]
    for path in ("batch", "query/batch"):
        many = client.post(f"{BASE}/{path}", content=json.dumps({"photos": photos}), headers=JSON)
        assert f"more than {MOST_EMBEDDINGS} photos" in problem(many, 413, "too_large")
        large = client.post(f"{BASE}/{path}", content=b" " * (MOST_BYTES + 1), headers=JSON)
        assert str(MOST_BYTES) in problem(large, 413, "too_large")
        text = client.post(f"{BASE}/{path}", content=b"x", headers={"content-type": "text/plain"})
        assert '{"photos": [' in problem(text, 400, "malformed_request")
        none = client.post("/v1/collections/none/batch", content=json.dumps({"photos": photos[:1]}), headers=JSON)
        problem(none, 404, "unknown_collection")
    assert client.get(f"{BASE}/photos").json() == {"ids": []}


def test_several_photos_are_asked_about_at_once(client: AsgiClient, embeddings: list[dict[str, Any]]) -> None:
    send(client, "batch?tags=x", *({"id": str(place), "embedding": each} for place, each in enumerate(embeddings[:3])))
    known, own, foreign = send(
        client,
        "query/batch?top_k=1",
        {"embedding": embeddings[3]},
        {"embedding": embeddings[0], "id": "0"},
        {"embedding": embeddings[0] | {"model": "another"}},
    )
    alone = client.post(f"{BASE}/query?top_k=1", content=json.dumps(embeddings[3]), headers=JSON).json()
    assert (known["id"], known["result"]) == ("", alone)
    assert alone["matches"][0]["id"] == "1"
    assert (own["id"], own["result"]["is_duplicate"]) == ("0", False)
    assert foreign["error"]["code"] == "foreign_embedding"
    files = [("images", file) for file in (("0", PHOTOS[0]), ("broken", PHOTOS[0][:100]))]
    image, broken = client.post(f"{BASE}/query/batch?tags=x", files=files).json()["results"]
    assert (image["id"], image["result"]["matches"][0]["id"]) == ("0", "0")  # a file's name is no photo's own id
    assert broken["error"]["code"] == "undecodable_image"
    problem(client.post(f"{BASE}/query/batch?id=a", files=files), 400, "malformed_request")


def test_a_large_group_is_listed_in_pages(client: AsgiClient, embeddings: list[dict[str, Any]]) -> None:
    numbers = [0, 1, 0, 0, 1, 2, 0, 0]
    for number, name in zip(numbers, "abcdefgh", strict=True):  # one by one, so that their order is known
        send(client, "batch", {"id": name, "embedding": embeddings[number]})
    first = client.get(f"{BASE}/groups?limit_ids=2&limit=1")
    assert_fits(first.json(), DOCUMENT["components"]["schemas"]["GroupsResponse"])
    (large,) = first.json()["groups"]
    assert (large["photos"], large["ids"]) == (5, ["a", "c"])
    second = client.get(f"{BASE}/groups?limit_ids=2&limit=1&after={first.json()['next']}").json()
    assert second == {"groups": [{"group": second["groups"][0]["group"], "photos": 2, "ids": ["b", "e"]}]}
    pages, after = [], -1
    while after is not None:
        response = client.get(f"{BASE}/groups/{large['group']}?limit=2&after={after}")
        assert_fits(response.json(), DOCUMENT["components"]["schemas"]["IdsResponse"])
        pages.append(response.json()["ids"])
        after = response.json().get("next")
    assert pages == [["a", "c"], ["d", "g"], ["h"]]
    alone = client.get(f"{BASE}/photos/f").json()["group"]
    assert client.get(f"{BASE}/groups/{alone}").json() == {"ids": ["f"]}
    assert client.get(f"{BASE}/groups/999").json() == {"ids": []}
    for name in ("-1", "x", "01", "9" * 19, "1/2", "%00"):
        problem(client.get(f"{BASE}/groups/{name}"), 400, "malformed_request")
    for query in ("limit_ids=0", "limit_ids=1001"):
        problem(client.get(f"{BASE}/groups?{query}"), 400, "malformed_request")
