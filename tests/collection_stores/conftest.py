"""What several test modules have of collections in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from phototriage.collection_stores.opening import open_catalogue
from phototriage.collection_stores.postgres_store import PostgresStore
from phototriage.collections.catalogue import Catalogue
from phototriage.settings import Settings
from tests.collections.made import embedder

MODEL = embedder()
SETTINGS = Settings(provider="cpu", threads=8, deadline_seconds=5, max_collections=3)


@pytest.fixture
def server(database: str) -> Iterator[Callable[[], Catalogue]]:
    """Makes what a server has of the database; each call is another server."""
    opened: list[Catalogue] = []

    def open_again() -> Catalogue:
        opened.append(open_catalogue(database, SETTINGS))
        return opened[-1]

    yield open_again
    for catalogue in opened:
        catalogue.close()


@pytest.fixture
def store(server: Callable[[], Catalogue]) -> PostgresStore:
    store = server().create("photos", MODEL).collection.store
    assert isinstance(store, PostgresStore)
    return store
