"""A triage that asks a collection about the photo, too, and adds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.collection_stores.folder_store import FolderStore
from phototriage.common.errors import StoreUnavailable
from phototriage.images.pixels import decode_for
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models, load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.scored_models import CLASSIFIER, write_scored
from tests.server.test_openapi import DOCUMENT, assert_fits
from tests.tiny_models import decision, solid, write_embedder

RED, DARK_RED, GREEN = (solid(colour) for colour in ((255, 0, 0), (200, 10, 10), (0, 255, 0)))
BASE = "/v1/collections/kept"
PNG = {"content-type": "image/png"}
ADDED = ("id", "outcome", "added", "group")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of a classifier with a difficulty score, and two embedders."""
    directory = tmp_path_factory.mktemp("models")
    write_scored(directory)
    write_embedder(directory / "first", decision=decision())
    write_embedder(directory / "second", decision=decision(slope=11.0))
    return Settings(
        models_directory=directory,
        threads=1,
        provider="cpu",
        log_requests=False,
        default_classifier=CLASSIFIER,
        default_embedder="first",
        collections=tmp_path_factory.mktemp("collections"),
        max_collection_photos=4,
        answer_cache_bytes=1_000_000,
    )


@pytest.fixture(scope="module")
def models(settings: Settings) -> Models:
    return load_models(settings)


@pytest.fixture(scope="module")
def api(settings: Settings, models: Models) -> Iterator[HttpApi]:
    api = HttpApi()
    api.start(settings, models)
    yield api
    api.stop()


@pytest.fixture
def client(api: HttpApi) -> Iterator[AsgiClient]:
    """With an empty collection."""
    client = AsgiClient(api)
    assert client.request("PUT", BASE).status_code == 200
    yield client
    client.request("DELETE", BASE)


def triage(client: AsgiClient, photo: bytes, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = fine(client.post(f"/v1/triage?{query}", content=photo, headers=PNG), "TriageResponse")
    return answer


def fine(response: httpx.Response, schema: str) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert_fits(answer, DOCUMENT["components"]["schemas"][schema])
    return answer


def problem(response: httpx.Response, status: int, code: str) -> str:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    detail: str = response.json()["detail"]
    return detail


def ids(client: AsgiClient) -> list[str]:
    found: list[str] = client.get(f"{BASE}/photos").json()["ids"]
    return found


def test_it_says_what_the_collections_own_routes_say(client: AsgiClient) -> None:
    plain = triage(client, RED, "")
    empty = triage(client, RED, "collection=kept")
    assert empty.pop("collection") == {
        "collection": "kept",
        "model": plain["embed"]["model"],
        "is_duplicate": False,
        "duplicates": [],
    }
    assert empty == plain
    added = triage(client, RED, "collection=kept&id=a&tags=x,y")["collection"]
    assert [added[name] for name in ADDED] == ["a", "added", True, "0"]
    assert client.get(f"{BASE}/photos/a?embedding=true").json()["embedding"] == plain["embed"]["embedding"]
    asked = triage(client, DARK_RED, "collection=kept")["collection"]
    assert asked["is_duplicate"]
    assert (asked["duplicates"][0]["id"], asked["duplicates"][0]["tags"]) == ("a", ["x", "y"])
    queried = client.post(f"{BASE}/query", content=DARK_RED, headers=PNG).json()
    assert asked["duplicates"] == queried["matches"]
    assert not any(name in asked for name in ADDED)
    refused = triage(client, DARK_RED, "collection=kept&id=b&if_new=true")["collection"]
    own = client.post(f"{BASE}/photos?id=b&if_new=true", content=DARK_RED, headers=PNG).json()
    assert refused == {"is_duplicate": True, **own}
    assert (refused["outcome"], refused["added"], ids(client)) == ("duplicate", False, ["a"])


def test_what_decides_may_be_chosen(client: AsgiClient) -> None:
    triage(client, RED, "collection=kept&id=a")
    assert triage(client, GREEN, "collection=kept&threshold=-1")["collection"]["is_duplicate"]
    assert not triage(client, DARK_RED, "collection=kept&threshold=1")["collection"]["is_duplicate"]


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ("include=classify", ["first"]),
        ("include=embed", ["first"]),
        ("", ["first"]),
        ("include=embed&embedder=second", ["second", "first"]),
    ],
)
def test_a_photo_is_decoded_once_and_embedded_once_by_each_model(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, query: str, runs: list[str]
) -> None:
    decoded, embedded = [], []
    embed = Embedder.embed

    def decode_counted(data: bytes, *arguments: Any) -> Any:
        decoded.append(data)
        return decode_for(data, *arguments)

    def embed_counted(model: Embedder, images: NDArray[np.uint8], *arguments: Any) -> Any:
        embedded.append(model.name)
        return embed(model, images, *arguments)

    monkeypatch.setattr("phototriage.triage.pipeline.decode_for", decode_counted)
    monkeypatch.setattr(Embedder, "embed", embed_counted)
    answer = triage(client, RED, f"{query}&collection=kept&id=a".lstrip("&"))
    assert (len(decoded), embedded) == (1, runs)
    assert answer["collection"]["model"]["name"] == "first"
    if "embed" in answer:
        assert answer["embed"]["model"]["name"] == runs[0]
    assert set(answer) == {
        *(query.split("&")[0].removeprefix("include=") or "classify,difficulty,embed").split(",")
    } | {"collection"}


def test_an_answer_is_never_kept(client: AsgiClient) -> None:
    outcomes = [triage(client, RED, "collection=kept&id=a")["collection"]["outcome"] for _ in range(2)]
    assert outcomes == ["added", "unchanged"]
    asked = [triage(client, RED, "collection=kept")["collection"]["is_duplicate"]]
    client.request("DELETE", f"{BASE}/photos/a")
    asked.append(triage(client, RED, "collection=kept")["collection"]["is_duplicate"])
    assert asked == [True, False]


def test_where_it_cant_be_added_nothing_is_answered_and_nothing_is_there(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "insert", full)
        response = client.post("/v1/triage?collection=kept&id=a", content=RED, headers=PNG)
        assert problem(response, 503, "store_unavailable") == "The disk is full."
        assert response.headers["retry-after"] == "1"
        files = [("images", (name, RED)) for name in ("a", "b")]
        batch = client.post("/v1/triage/batch?collection=kept&add=true", files=files)
        results = fine(batch, "BatchResponse")["results"]
        assert [each["error"]["code"] for each in results] == ["store_unavailable"] * 2
        assert all(set(each) == {"index", "filename", "error"} for each in results)
    assert ids(client) == []
    for name in "abcd":
        triage(client, RED, f"collection=kept&id={name}")
    many = client.post("/v1/triage?collection=kept&id=e", content=GREEN, headers=PNG)
    assert "PHOTOTRIAGE_MAX_COLLECTION_PHOTOS" in problem(many, 413, "too_large")
    broken = client.post("/v1/triage?collection=kept&id=a", content=RED[:40], headers=PNG)
    problem(broken, 422, "undecodable_image")
    assert ids(client) == list("abcd")


def test_wrong_requests_are_said(client: AsgiClient) -> None:
    for query in ("id=a", "tags=x", "if_new=true", "threshold=0.5", "min_probability=0.5"):
        detail = problem(client.post(f"/v1/triage?{query}", content=RED, headers=PNG), 400, "malformed_request")
        assert "no collection" in detail
    for query in ("tags=x", "if_new=true"):
        response = client.post(f"/v1/triage?collection=kept&{query}", content=RED, headers=PNG)
        assert "Give id" in problem(response, 400, "malformed_request")
        response = client.post(f"/v1/triage/batch?collection=kept&{query}", files=[("images", ("a", RED))])
        assert "Give add" in problem(response, 400, "malformed_request")
    for path in ("/v1/triage", "/v1/triage/batch"):
        response = client.post(f"{path}?collection=none", files={"image" + "s" * ("batch" in path): ("a", RED)})
        assert "'none'" in problem(response, 404, "unknown_collection")


def test_a_batch_is_added_by_the_files_names(client: AsgiClient) -> None:
    files = [("a", RED), ("b", RED[:40]), ("a", GREEN), ("..", GREEN), ("c", DARK_RED), ("d", GREEN)]
    images = [("images", file) for file in files]
    query = "include=classify&collection=kept"
    asked = fine(client.post(f"/v1/triage/batch?{query}", files=images), "BatchResponse")["results"]
    assert [list(each)[2:] for each in asked] == [
        ["error"] if name == "b" else ["classify", "collection"] for name, _ in files
    ]
    assert ids(client) == []
    told = client.post(f"/v1/triage/batch?{query}&add=true&if_new=true&tags=x", files=images)
    results = fine(told, "BatchResponse")["results"]
    outcomes = [each["collection"]["outcome"] if "collection" in each else each["error"]["code"] for each in results]
    assert outcomes == [
        "added",
        "undecodable_image",
        "malformed_request",
        "malformed_request",
        "duplicate",
        "added",
    ]
    assert client.get(f"{BASE}/photos?tags=x").json()["ids"] == ["a", "d"]


def test_a_collection_whose_embedder_isnt_served_is_refused(
    settings: Settings, tmp_path: Path, client: AsgiClient
) -> None:
    write_embedder(tmp_path / "models/first", decision=decision(slope=12.0))
    own = settings.model_copy(update={"collections": tmp_path / "kept", "default_classifier": None})
    for directory, status in ((settings.models_directory, 200), (tmp_path / "models", 409)):
        api = HttpApi()
        served = own.model_copy(update={"models_directory": directory})
        api.start(served, load_models(served))
        other = AsgiClient(api)
        if status == 200:
            other.request("PUT", BASE)
        response = other.post("/v1/triage?include=embed&collection=kept&id=a", content=RED, headers=PNG)
        assert response.status_code == status, response.text
        api.stop()
    assert "isn't served" in problem(response, 409, "foreign_collection")
