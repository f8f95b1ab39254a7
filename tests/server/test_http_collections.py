"""Collections over HTTP, by the shipped embedder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from phototriage.common.errors import StoreUnavailable
from phototriage.models.model_set import load_models
from phototriage.server import serving
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.server.test_openapi import DOCUMENT, assert_fits
from tests.tiny_models import png_of, write_embedder
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[2]
PHOTOS = [png_of(drawn_photo(number)) for number in range(3)]
COPY = png_of(np.ascontiguousarray(drawn_photo(1)[20:220, 30:300]))
BASE = "/v1/collections/listings"
IMAGE = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    (directory / "near_duplicates").symlink_to(ROOT / "exported_models/near_duplicates")
    return directory


@pytest.fixture(scope="module", params=["folder", "postgres"])
def api(request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpApi]:
    place: str | Path = tmp_path_factory.mktemp("kept") / "collections"
    if request.param == "postgres":
        place = request.getfixturevalue("postgres").new_database()
    api = started(models, place, max_collections=3, max_collection_photos=9)
    yield api
    api.stop()


@pytest.fixture
def client(api: HttpApi) -> Iterator[AsgiClient]:
    """With no collection but an empty one."""
    client = AsgiClient(api)
    assert client.request("PUT", BASE).status_code == 200
    yield client
    for each in client.get("/v1/collections").json()["collections"]:
        client.request("DELETE", f"/v1/collections/{each['name']}")


def started(models: Path, collections: str | Path | None, **options: Any) -> HttpApi:
    settings = Settings(
        models_directory=models, threads=1, provider="cpu", log_requests=False, collections=collections, **options
    )
    api = HttpApi()
    api.start(settings, load_models(settings))
    return api


def add(client: AsgiClient, photo: bytes, name: str, query: str = "") -> dict[str, Any]:
    return fine(client.post(f"{BASE}/photos?id={quote(name, '')}{query}", content=photo, headers=IMAGE), "AddResponse")


def fine(response: httpx.Response, schema: str) -> dict[str, Any]:
    """The answer, which fits its schema."""
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert_fits(answer, DOCUMENT["components"]["schemas"][schema])
    return answer


def problem(response: httpx.Response, status: int, code: str) -> str:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    detail: str = response.json()["detail"]
    return detail


def test_a_photo_is_added_found_told_and_deleted(client: AsgiClient) -> None:
    for number, photo in enumerate(PHOTOS):
        told = add(client, photo, f"house {number}/front.jpg", "&tags=berlin,sale")
        assert (told["outcome"], told["added"], told["duplicates"]) == ("added", True, [])
    told = add(client, COPY, "again", "&if_new=true")
    assert (told["outcome"], told["added"]) == ("duplicate", False)
    assert "group" not in told
    (same,) = told["duplicates"]
    assert (same["id"], same["tags"], same["decision"]) == ("house 1/front.jpg", ["berlin", "sale"], "duplicate")
    found = fine(client.post(f"{BASE}/query?top_k=2&tags=sale", content=COPY, headers=IMAGE), "CollectionQueryResponse")
    assert found["is_duplicate"]
    assert [match["is_duplicate"] for match in found["matches"]] == [True, False]
    assert found["matches"][0]["evidence"]["words"]
    name = f"{BASE}/photos/{quote('house 1/front.jpg', '')}"
    kept = fine(client.get(name), "CollectionPhoto")
    assert (kept["id"], kept["tags"]) == ("house 1/front.jpg", ["berlin", "sale"])
    assert fine(client.request("DELETE", name), "ChangedResponse") == {"changed": True}
    assert "'house 1/front.jpg'" in problem(client.get(name), 404, "unknown_photo")
    assert add(client, COPY, "again", "&if_new=true")["outcome"] == "added"


def test_an_embedding_takes_a_photos_place(client: AsgiClient) -> None:
    embedded = client.post("/v1/embed", content=PHOTOS[0], headers=IMAGE).json()
    text = {"content-type": "application/json"}
    added = client.post(f"{BASE}/photos?id=a", content=json.dumps(embedded["embedding"]), headers=text)
    assert fine(added, "AddResponse")["outcome"] == "added"
    part = client.post(f"{BASE}/query", files={"embedding": (None, json.dumps(embedded))})
    assert fine(part, "CollectionQueryResponse")["is_duplicate"]
    file = client.post(f"{BASE}/query", files={"image": ("a.png", PHOTOS[0])})
    assert fine(file, "CollectionQueryResponse")["is_duplicate"]
    kept = fine(client.get(f"{BASE}/photos/a?embedding=true"), "CollectionPhoto")
    assert kept["embedding"] == embedded["embedding"]
    foreign = {**embedded["embedding"], "version": "0" * 16}
    refused = client.post(f"{BASE}/query", content=json.dumps(foreign), headers=text)
    problem(refused, 422, "foreign_embedding")


def test_several_at_once_one_of_which_is_broken(client: AsgiClient) -> None:
    files = [("one", PHOTOS[0]), ("two", PHOTOS[1][:100]), ("three", PHOTOS[1]), ("four", COPY), ("x" * 513, COPY)]
    response = client.post(f"{BASE}/batch?if_new=true&tags=x", files=[("images", file) for file in files])
    results = fine(response, "AddBatchResponse")["results"]
    assert [each["id"] for each in results[:4]] == ["one", "two", "three", "four"]
    assert results[1]["error"]["code"] == "undecodable_image"
    assert results[4]["error"]["code"] == "malformed_request"  # not known by a shorter name without a word
    twice = client.post(f"{BASE}/batch", files=[("images", ("one", PHOTOS[0])), ("images", ("one", PHOTOS[1]))])
    assert "Two photos are called 'one'" in twice.json()["results"][1]["error"]["detail"]
    outcomes = [each["result"]["outcome"] for each in results if "result" in each]
    assert sorted(outcomes) == ["added", "added", "duplicate"]
    assert set(fine(client.get(f"{BASE}/photos?tags=x"), "IdsResponse")["ids"]) < {"one", "three", "four"}


def test_groups_and_marks_in_pages(client: AsgiClient) -> None:
    for name, photo in zip("abcd", (PHOTOS[0], PHOTOS[0], PHOTOS[1], COPY), strict=True):
        add(client, photo, name)
    first = fine(client.get(f"{BASE}/groups?limit=1"), "GroupsResponse")
    assert [each["ids"] for each in first["groups"]] == [["a", "b"]]
    second = fine(client.get(f"{BASE}/groups?limit=1&after={first['next']}"), "GroupsResponse")
    assert [each["ids"] for each in second["groups"]] == [["c", "d"]]
    assert "next" not in second
    pages, after = [], -1
    while after is not None:
        page = client.get(f"{BASE}/photos?limit=3&after={after}").json()
        pages.append(page["ids"])
        after = page.get("next")
    assert pages == [["a", "b", "c"], ["d"]]
    assert fine(client.request("PUT", f"{BASE}/not_duplicates?a=c&b=d"), "ChangedResponse")["changed"]
    marked = fine(client.get(f"{BASE}/not_duplicates"), "NotDuplicatesResponse")
    assert marked == {"pairs": [{"a": "c", "b": "d"}]}
    assert len(client.get(f"{BASE}/groups").json()["groups"]) == 1
    info = fine(client.get(BASE), "CollectionInfo")
    assert (info["photos"], info["groups"], info["not_duplicates"]) == (4, 1, 1)
    assert client.request("DELETE", f"{BASE}/not_duplicates?a=d&b=c").json() == {"changed": True}


def test_collections_are_made_listed_and_deleted(api: HttpApi, client: AsgiClient) -> None:
    add(client, PHOTOS[0], "a")
    assert client.request("PUT", BASE).json()["photos"] == 1  # it is there, and stays
    client.request("PUT", "/v1/collections/b-2")
    listed = fine(client.get("/v1/collections"), "CollectionsResponse")["collections"]
    assert [(each["name"], each["served"], each["verifies"]) for each in listed] == [
        ("b-2", True, True),
        ("listings", True, True),
    ]
    client.request("PUT", "/v1/collections/c")
    assert "the limit" in problem(client.request("PUT", "/v1/collections/d"), 413, "too_large")
    assert "can't be called 'Not this'" in problem(
        client.request("PUT", "/v1/collections/Not%20this"), 400, "malformed_request"
    )
    assert client.request("DELETE", "/v1/collections/c").json() == {"changed": True}
    problem(client.request("DELETE", "/v1/collections/c"), 404, "unknown_collection")
    problem(client.post("/v1/collections/c/query", content=COPY, headers=IMAGE), 404, "unknown_collection")


def test_limits_and_wrong_requests_are_said(client: AsgiClient) -> None:
    for number in range(9):
        add(client, PHOTOS[0], str(number))
    full = client.post(f"{BASE}/photos?id=10", content=PHOTOS[1], headers=IMAGE)
    assert "PHOTOTRIAGE_MAX_COLLECTION_PHOTOS" in problem(full, 413, "too_large")
    missing = client.post(f"{BASE}/photos", content=PHOTOS[1], headers=IMAGE)
    assert problem(missing, 400, "malformed_request") == "The query parameter id is missing. Send it."
    for name in ("a%0Ab", ".", "..", "", "x" * 513, "caf%E9"):
        problem(client.post(f"{BASE}/photos?id={name}", content=PHOTOS[1], headers=IMAGE), 400, "malformed_request")
    for query in ("top_k=101", "tags=", "tags=a,,b"):
        problem(client.post(f"{BASE}/query?{query}", content=COPY, headers=IMAGE), 400, "malformed_request")
    text = client.post(f"{BASE}/query", content=b"x", headers={"content-type": "text/plain"})
    assert "application/json" in problem(text, 400, "malformed_request")
    wrong = client.request("POST", BASE)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "PUT, GET, DELETE, HEAD")


@pytest.mark.parametrize("api", ["folder"], indirect=True)
def test_a_disk_that_is_full_is_said_with_when_to_try_again(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    response = client.post(f"{BASE}/photos?id=a", content=PHOTOS[0], headers=IMAGE)
    assert "No space left" in problem(response, 503, "store_unavailable")
    assert response.headers["retry-after"] == "1"


def test_it_is_kept_over_a_restart_and_by_one_server(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started(models, tmp_path)
    client = AsgiClient(first)
    client.request("PUT", BASE)
    add(client, PHOTOS[0], "a")
    monkeypatch.setattr(serving, "PATIENCE", 0.2)
    with pytest.raises(StoreUnavailable, match="another process"):
        started(models, tmp_path)
    first.stop()
    second = started(models, tmp_path)
    client = AsgiClient(second)
    assert add(client, PHOTOS[0], "b", "&if_new=true")["outcome"] == "duplicate"
    second.stop()


def test_no_name_is_in_the_keepers_way_and_a_broken_collection_in_no_others(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["a.gone", "lock", "vectors"]
    api = started(models, tmp_path)
    client = AsgiClient(api)
    for name in names:
        assert client.request("PUT", f"/v1/collections/{name}").status_code == 200
    api.stop()
    (tmp_path / "half").mkdir()
    (tmp_path / "half/collection.db").write_bytes(b"")
    api = started(models, tmp_path)
    client = AsgiClient(api)
    assert [each["name"] for each in client.get("/v1/collections").json()["collections"]] == names
    assert "left out of the list" in caplog.text
    problem(client.get("/v1/collections/half"), 503, "store_unavailable")
    assert client.request("DELETE", "/v1/collections/half").status_code == 200
    assert client.request("PUT", "/v1/collections/half").status_code == 200
    api.stop()


def test_a_server_without_collections_says_how_to_have_some(models: Path) -> None:
    api = started(models, None)
    detail = problem(AsgiClient(api).get("/v1/collections"), 404, "unknown_collection")
    assert "PHOTOTRIAGE_COLLECTIONS" in detail
    api.stop()


def test_after_a_reload_the_old_embedder_answers_until_the_server_stops(models: Path, tmp_path: Path) -> None:
    own = tmp_path / "models"
    shutil.copytree(models / "near_duplicates", own / "near_duplicates")
    api = started(own, tmp_path / "kept", api_keys=("a key of the tests",))
    key = {"x-api-key": "a key of the tests"}
    client = AsgiClient(api)
    client.request("PUT", BASE, headers=key)
    client.post(f"{BASE}/photos?id=a", content=PHOTOS[0], headers={**IMAGE, **key})
    shutil.rmtree(own / "near_duplicates")
    write_embedder(own / "near_duplicates")
    assert client.post("/v1/models/reload", headers=key).json()["taken_up"]
    assert client.get(BASE, headers=key).json()["served"]
    found = client.post(f"{BASE}/query", content=PHOTOS[0], headers={**IMAGE, **key}).json()
    assert (found["is_duplicate"], found["matches"][0]["id"]) == (True, "a")
    api.stop()
    api = started(own, tmp_path / "kept")
    client = AsgiClient(api)
    assert not client.get(BASE).json()["served"]
    detail = problem(client.post(f"{BASE}/query", content=PHOTOS[0], headers=IMAGE), 409, "foreign_collection")
    assert "which isn't served" in detail
    assert client.get(f"{BASE}/photos/a").status_code == 200  # what needs no model is answered
    api.stop()
