"""A PostgreSQL database that can't be reached, hangs, is of another version, or may not be written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import psycopg
import pytest

from benchmarks.postgres_server import PostgresServer
from phototriage.collection_stores import postgres_database, postgres_schema
from phototriage.collection_stores.opening import open_catalogue
from phototriage.collection_stores.postgres_store import PostgresStore
from phototriage.collections.catalogue import Catalogue
from phototriage.common.errors import StoreUnavailable
from tests.collection_stores.conftest import MODEL, SETTINGS
from tests.collections.made import crop, photo


def test_a_database_that_goes_and_comes_back(
    postgres: PostgresServer, server: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call hangs meanwhile, none of many waits in turn, and what was acknowledged is there."""
    monkeypatch.setattr(postgres_database, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(postgres_database, "AWAY_SECONDS", 0.5)
    catalogue = server()
    collection = catalogue.create("photos", MODEL).collection
    collection.add(MODEL, photo(1), "one")
    postgres.stop()
    began = monotonic()
    for _ in range(20):
        with pytest.raises(StoreUnavailable, match=r"can't (be reached|keep or read them) now"):
            collection.add(MODEL, photo(2), "two")
    assert monotonic() - began < 10
    postgres.start()
    end = monotonic() + 20
    while True:
        try:
            outcome = collection.add(MODEL, photo(2), "two", if_new=True).outcome
            break
        except StoreUnavailable:
            assert monotonic() < end
    assert outcome == "added"
    assert collection.query(MODEL, crop(1)).matches[0].id == "one"


def test_a_database_that_answers_nothing_is_given_up(
    postgres: PostgresServer, server: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_database, "CONNECT_SECONDS", 0.5)
    catalogue = server()
    collection = catalogue.create("photos", MODEL).collection
    postgres.freeze()
    try:
        began = monotonic()
        with pytest.raises(StoreUnavailable):
            collection.photo("one")
        assert monotonic() - began < 10
    finally:
        postgres.thaw()
    monkeypatch.setattr(postgres_database, "CONNECT_SECONDS", 20)
    end = monotonic() + 20
    while monotonic() < end:
        try:
            assert catalogue.names() == ["photos"]
            return
        except StoreUnavailable:
            continue
    raise AssertionError("it didn't come back")


def test_a_query_that_hangs_ends_by_the_deadline(store: PostgresStore, database: str) -> None:
    """Another transaction that holds the collection, as of a server that was frozen."""
    hasty = open_catalogue(database, SETTINGS.model_copy(update={"deadline_seconds": 0.5}))
    collection = hasty.get("photos")
    with psycopg.connect(database) as connection:
        connection.execute("SELECT 1 FROM phototriage.collections FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="took too long, so nothing was changed"):
            collection.store.delete("a")
    hasty.close()


def test_a_database_of_a_later_version_is_refused(server: Callable[[], Catalogue], database: str) -> None:
    server().names()
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO phototriage.versions VALUES (99, now())")
    with pytest.raises(StoreUnavailable, match="is of version 99"):
        server().names()


def test_an_older_database_is_brought_up_with_what_it_has(
    server: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    server().create("photos", MODEL).collection.add(MODEL, photo(1), "one")
    step = "ALTER TABLE phototriage.collections ADD COLUMN note text NOT NULL DEFAULT 'new'"
    monkeypatch.setattr(postgres_database, "STEPS", (*postgres_schema.STEPS, step))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda catalogue: catalogue.get("photos").photo("one").id, [server() for _ in range(4)]))
    assert found == ["one"] * 4


def test_a_step_that_fails_leaves_the_version_that_was(
    server: Callable[[], Catalogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    server().create("photos", MODEL)
    monkeypatch.setattr(
        postgres_database, "STEPS", (*postgres_schema.STEPS, "CREATE TABLE phototriage.half (); SELECT 1 / 0")
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        server().names()
    monkeypatch.undo()
    assert server().names() == ["photos"]


def test_a_database_that_cannot_hold_any_script_is_refused(postgres: PostgresServer) -> None:
    address = postgres.new_database(options="ENCODING 'LATIN1' TEMPLATE template0")
    catalogue = open_catalogue(address, SETTINGS)
    with pytest.raises(StoreUnavailable, match="is of encoding LATIN1"):
        catalogue.names()
    catalogue.close()


def test_a_user_who_may_not_add_pgvector_is_told_what_to_do(database: str, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'guest'").fetchone():
            connection.execute("CREATE ROLE guest LOGIN PASSWORD 'a secret'")
    address = database.replace("postgres@", "guest:a%20secret@")
    catalogue = open_catalogue(address, SETTINGS)
    with pytest.raises(StoreUnavailable, match="CREATE EXTENSION vector"):
        catalogue.names()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailable, match="42501") as refused:
        catalogue.names()  # it may not make a schema, either
    assert "secret" not in caplog.text + str(refused.value)
    catalogue.close()


def test_a_copy_of_the_database_that_only_reads_says_so(server: Callable[[], Catalogue], database: str) -> None:
    collection = server().create("photos", MODEL).collection
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    later = server().get("photos")
    assert later.store.counts().photos == 0
    with pytest.raises(StoreUnavailable, match="25006"):
        later.add(MODEL, photo(1), "one")
    assert collection.add(MODEL, photo(1), "one").added  # by connections from before
