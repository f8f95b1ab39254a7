"""What /metrics tells of collections, and that counting is in nobody's way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any, cast

import pytest

from phototriage.collections.catalogue import Catalogue
from phototriage.common.errors import StoreUnavailable
from phototriage.common.metrics import exposition
from phototriage.models.model_set import load_models
from phototriage.server import collection_figures
from phototriage.server.collection_figures import CollectionFigures
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.http_clients import values
from tests.tiny_models import png_of, write_embedder
from tests.verification.photos import drawn_photo

PHOTO = png_of(drawn_photo(0))
IMAGE = {"content-type": "image/png"}
A = "/v1/collections/a"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def client(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AsgiClient]:
    monkeypatch.setattr(collection_figures, "FRESH_SECONDS", 0)
    monkeypatch.setattr(collection_figures, "PAUSES", 0)
    write_embedder(tmp_path / "models/e")
    settings = Settings(
        models_directory=tmp_path / "models",
        threads=1,
        provider="cpu",
        log_requests=False,
        collections=kept,
        max_collection_photos=2,
    )
    api = HttpApi()
    api.start(settings, load_models(settings))
    client = AsgiClient(api)
    for name in "ab":
        assert client.request("PUT", f"/v1/collections/{name}").status_code == 200
    yield client
    api.stop()


def told(client: AsgiClient, name: str, **labels: str) -> float | None:
    return values(client.get("/metrics").text).get((f"phototriage_{name}", frozenset(labels.items())))


def test_sizes_are_told_of_each_collection_until_it_is_deleted(client: AsgiClient) -> None:
    assert client.post(f"{A}/photos?id=1", content=PHOTO, headers=IMAGE).status_code == 200
    assert told(client, "collection_photos", collection="a") == 1
    assert told(client, "collection_photos", collection="b") == 0
    assert told(client, "collection_groups", collection="a") == 0
    assert client.post(f"{A}/photos?id=2", content=PHOTO, headers=IMAGE).status_code == 200
    assert told(client, "collection_photos", collection="a") == told(client, "collection_photos_limit") == 2
    assert told(client, "collection_groups", collection="a") == 1
    assert (told(client, "collection_bytes", collection="a") or 0) > 10_000
    assert 0 < (told(client, "collection_disk_free_bytes") or 0) < (told(client, "collection_disk_bytes") or 0)
    assert client.request("DELETE", A).status_code == 200
    assert told(client, "collection_photos", collection="a") is None
    assert 'collection="a"' not in client.get("/metrics").text


def test_additions_and_queries_are_counted_by_what_became_of_them(client: AsgiClient) -> None:
    def counted() -> dict[str, float]:
        found = values(client.get("/metrics").text)
        ours = {name: value for name, value in found.items() if "collection_additions_total" in name[0]}
        ours |= {name: value for name, value in found.items() if "collection_queries_total" in name[0]}
        return {dict(labels).popitem()[1]: value for (_, labels), value in ours.items()}

    before = counted()
    other = png_of(drawn_photo(1))
    for query, photo in (("id=1", PHOTO), ("id=1", PHOTO), ("id=2&if_new=true", PHOTO), ("id=1", other)):
        assert client.post(f"{A}/photos?{query}", content=photo, headers=IMAGE).status_code == 200
    assert client.post(f"{A}/query", content=other, headers=IMAGE).json()["is_duplicate"]
    assert not client.post("/v1/collections/b/query", content=other, headers=IMAGE).json()["is_duplicate"]
    after = counted()
    for outcome in ("added", "unchanged", "duplicate", "replaced", "true", "false"):
        assert after[outcome] - before.get(outcome, 0) == 1, outcome


def test_a_store_that_is_broken_is_told_and_the_others_are_counted(client: AsgiClient, kept: Path) -> None:
    assert told(client, "collection_store_up") == 1
    (kept / "c").mkdir()
    (kept / "c/collection.db").write_bytes(b"no database" * 500)
    before = told(client, "collection_store_errors_total") or 0
    assert client.get("/v1/collections/c").status_code == 503
    assert told(client, "collection_store_errors_total") == before + 1
    assert told(client, "collection_store_up") == 0
    assert told(client, "collection_photos", collection="a") == 0
    shutil.rmtree(kept / "c")
    assert told(client, "collection_store_up") == 1


def test_a_folder_that_is_gone_is_no_empty_one(client: AsgiClient, kept: Path) -> None:
    kept.rename(kept.with_name("elsewhere"))
    assert told(client, "collection_store_up") == 0
    kept.with_name("elsewhere").rename(kept)


class Silent:
    """A catalogue that answers when it is let to."""

    def __init__(self) -> None:
        self.asked, self.may = 0, Event()

    def names(self) -> list[str]:
        self.asked += 1
        self.may.wait(10)
        raise StoreUnavailable("It does not answer.")


def figures_of(catalogue: Any) -> CollectionFigures:
    return CollectionFigures(cast(Catalogue, catalogue), "postgresql://u@h/d", 9)


def test_a_scrape_does_not_wait_for_a_store_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_figures, "WAIT_SECONDS", 0.02)
    silent = Silent()
    figures = figures_of(silent)

    async def scrape() -> None:
        start = perf_counter()
        for _ in range(3):
            await figures.refresh()
        assert perf_counter() - start < 5
        assert silent.asked == 1
        assert figures.is_up  # it may only be slow
        monkeypatch.setattr(collection_figures, "FRESH_SECONDS", 0.01)
        await figures.refresh()
        assert not figures.is_up
        silent.may.set()

    asyncio.run(scrape())
    assert not figures.is_up
    assert {family.name for family in figures.collect()} == {
        "phototriage_collection_store_up",
        "phototriage_collection_photos_limit",
    }


def test_workers_that_share_a_folder_of_metrics_tell_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    found = values(exposition(figures_of(Silent())).decode())
    assert found["phototriage_collection_store_up", frozenset()] == 1
    assert found["phototriage_collection_photos_limit", frozenset()] == 9


def test_what_was_counted_is_good_for_a_while() -> None:
    silent = Silent()
    silent.may.set()
    figures = figures_of(silent)

    async def scrape() -> None:
        for _ in range(5):
            await figures.refresh()

    asyncio.run(scrape())
    assert silent.asked == 1
