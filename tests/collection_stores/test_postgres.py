"""Collections in PostgreSQL: what two servers make of one database."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psycopg
import pytest

from phototriage.cli import main
from phototriage.collection_stores.postgres_store import PostgresStore, text_of, vectors_of
from phototriage.collections.catalogue import Catalogue
from phototriage.collections.photos import KeptPhoto, NewPhoto
from phototriage.common.errors import TooLarge, UnknownCollection
from phototriage.duplicates import layout
from tests.collection_stores.conftest import MODEL
from tests.collection_stores.test_folder_store import vectors
from tests.collections.made import mirrored, photo


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


def test_a_file_is_taken_into_another_store_and_has_graphs_then(
    store: PostgresStore, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.load([(replace(kept(f"p{n}", vector)[0], tags=("x",)), "one") for n, vector in enumerate(vectors(3))], {})
    store.mark("p0", "p9")
    file, folder = str(tmp_path / "photos.parquet"), str(tmp_path / "kept")
    models = ["--model", "near_duplicates"]
    assert main(["collection", "export", "photos", "-o", file, "--collections", database]) == 0
    for place in (folder, database):
        assert main(["collection", "import", "again", file, "--collections", place, *models]) == 0
    assert main(["collection", "list", "--collections", folder]) == 0
    assert main(["collection", "list", "--collections", database]) == 0
    *_, of_folder, of_database, _ = map(json.loads, capsys.readouterr().out.splitlines())
    del of_folder["bytes"], of_database["bytes"]
    assert of_folder == of_database
    assert (of_database["photos"], of_database["groups"], of_database["not_duplicates"]) == (3, 1, 1)
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%hnsw%'").fetchone()
    assert found == (4,)
