"""Collections in PostgreSQL: what two servers make of one database, and what they say where it can't be reached."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic

import numpy as np
import psycopg
import pytest

from benchmarks.postgres_server import PostgresServer
from phototriage.collection_stores import postgres_database, postgres_schema
from phototriage.collection_stores.opening import open_catalogue
from phototriage.collection_stores.postgres_store import PostgresStore, text_of, vectors_of
from phototriage.collections.catalogue import Catalogue
from phototriage.collections.photos import KeptPhoto, NewPhoto
from phototriage.common.errors import StoreUnavailable, TooLarge, UnknownCollection
from phototriage.duplicates import layout
from phototriage.settings import Settings
from tests.collection_stores.test_folder_store import vectors
from tests.collections.made import crop, embedder, mirrored, photo

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


def kept(name: str, vector: np.typing.NDArray[np.float32]) -> tuple[KeptPhoto, None]:
    return KeptPhoto(name, vector, None, (), row=-1, group=-1, added_at=0.0), None


def test_of_two_servers_who_get_the_same_photo_one_adds_it(server: Callable[[], Catalogue]) -> None:
    first, second = server(), server()
    collections = [first.create("photos", MODEL).collection, second.get("photos")]
    brought = [(number, turn) for turn in range(8) for number in range(2)]

    def bring(what: tuple[int, int]) -> str:
        number, turn = what
        image = photo(number) if turn % 4 < 2 else mirrored(number)
        return collections[turn % 2].add(MODEL, image, f"{number} by {turn}", if_new=True).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(bring, brought))
    assert sorted(outcomes) == ["added"] * 2 + ["duplicate"] * 14
    assert collections[0].store.counts().photos == collections[1].store.counts().photos == 2


def test_what_was_concluded_from_an_old_look_is_void(server: Callable[[], Catalogue], store: PostgresStore) -> None:
    other = server().get("photos").store
    (vector,) = vectors(1)
    look = store.find(vector, 1, None, ())
    assert other.insert(NewPhoto("a", vector, None, ()), None, look.changes, 9) is not None
    assert store.insert(NewPhoto("b", vector, None, ()), None, look.changes, 9) is None
    look = store.find(vector, 1, None, ())
    changes: list[Callable[[], bool]] = [
        lambda: other.delete("a"),
        lambda: other.mark("a", "b"),
        lambda: other.unmark("a", "b"),
    ]
    for change in changes:
        change()
        assert store.insert(NewPhoto("b", vector, None, ()), None, look.changes, 9) is None
        look = store.find(vector, 1, None, ())
    assert store.counts().photos == 0


def test_a_collection_that_was_made_anew_is_not_taken_for_the_old_one(server: Callable[[], Catalogue]) -> None:
    first, second = server(), server()
    old = first.create("photos", MODEL).collection
    old.add(MODEL, photo(1), "old")
    second.delete("photos")
    for ask in (lambda: first.get("photos"), lambda: old.photo("old"), lambda: old.query(MODEL, photo(1))):
        with pytest.raises(UnknownCollection):
            ask()
    second.create("photos", MODEL)
    with pytest.raises(UnknownCollection):
        old.add(MODEL, photo(1), "old")
    assert first.get("photos").store.counts().photos == 0
    with pytest.raises(UnknownCollection, match="nothing to delete"):
        first.delete("other")


def test_servers_that_start_at_once_make_the_tables_once(server: Callable[[], Catalogue]) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda catalogue: catalogue.create("photos", MODEL).is_new, [server() for _ in range(6)]))
    assert sorted(made) == [False] * 5 + [True]


def test_there_are_no_more_collections_than_the_limit(server: Callable[[], Catalogue]) -> None:
    catalogue = server()
    for name in ("c", "a", "b"):
        catalogue.create(name, MODEL)
    assert catalogue.names() == ["a", "b", "c"]
    assert [each.model.version for each in catalogue.descriptions()] == [MODEL.manifest.version] * 3
    with pytest.raises(TooLarge, match="There are 3 collections"):
        catalogue.create("d", MODEL)


def test_graphs_find_what_an_exact_comparison_does(server: Callable[[], Catalogue], database: str) -> None:
    """Both graphs, made at the end of a load, and grown by photos that come one by one. So few photos would else be
    compared one by one."""
    name = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET enable_seqscan = off")
    catalogue = server()
    store = catalogue.create("photos", MODEL).collection.store
    rows = vectors(1500)
    with store.loading():
        store.load([kept(f"p{number}", vector) for number, vector in enumerate(rows[:1200])], {})
    for number, vector in enumerate(rows[1200:1210], 1200):
        look = store.find(vector, 1, None, ())
        assert store.insert(NewPhoto(f"p{number}", vector, None, ()), None, look.changes, 9999) is not None
    turned = rows[:1210].copy()
    turned[:, -layout.DIMENSION :] = layout.turned(rows[:1210, -layout.DIMENSION :])[1]
    turned[:, : -layout.DIMENSION] = rows[-1, : -layout.DIMENSION]  # known by how they lie alone
    for number in range(0, 1210, 55):
        assert store.find(rows[number], 1, None, ()).nearest.best(1).rows.tolist() == [number]
        assert number in store.find(turned[number], 1, None, ()).nominees.tolist()
    catalogue.close()  # what was used is counted when a connection ends
    with psycopg.connect(database) as connection:
        used = connection.execute(
            "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0 AND indexrelname ~ '(content|layout)$'"
        ).fetchall()
        sizes = connection.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()
    assert sorted(used) == [("photos_1_content",), ("photos_1_layout",)]
    assert sizes == (2,)


def test_an_import_of_more_keeps_the_graphs(store: PostgresStore, database: str) -> None:
    def graphs() -> object:
        with psycopg.connect(database) as connection:
            return connection.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()

    def fail() -> None:
        with store.loading():
            store.load([kept("a", vectors(1)[0])], {})
            assert graphs() == (0,)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert graphs() == (2,)
    with store.loading():
        store.load([kept("a", vectors(1)[0]), kept("b", vectors(2)[1])], {})
        assert graphs() == (2,)
    assert store.counts().photos == 2


def test_a_plain_surface_has_no_layout_but_is_found(store: PostgresStore) -> None:
    plain = vectors(3)
    plain[:, -layout.DIMENSION :] = 0
    store.load([kept(f"p{number}", vector) for number, vector in enumerate(plain)], {})
    assert store.find(plain[1], 1, None, ()).nearest.best(1).rows.tolist() == [1]


@pytest.mark.parametrize(
    "name", ["写真/1", "a b%&?#", "'; DROP TABLE phototriage.photos_1; --", "é\u0301", "🖼", "{photos}"]
)
def test_an_id_and_a_tag_may_be_any_text(store: PostgresStore, name: str) -> None:
    (vector,) = vectors(1)
    store.load([(replace(kept(name, vector)[0], tags=(name, '"{},\\')), None)], {})
    found = store.photo(name)
    assert found is not None
    assert found.tags == (name, '"{},\\')
    assert store.list_photos(-1, 9, [name]).items == [(name,)]
    assert np.array_equal(found.vector, vector)
    assert store.delete(name)


def test_numbers_come_back_exactly() -> None:
    numbers = np.array([[1 / 3, -1e-38, np.float32(0.1), 0, 1]], np.float32)
    sent = b"\0\5\0\0" + numbers.astype(">f4").tobytes()
    assert np.array_equal(vectors_of([sent, sent]), np.concatenate([numbers, numbers]))
    assert np.array_equal(np.array(text_of(numbers[0])[1:-1].split(","), np.float32), numbers[0])


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
