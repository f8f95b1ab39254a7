"""A collection in a folder: what is kept, found again after a crash, and gone once it is deleted."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collections.photos import NewPhoto
from phototriage.common.errors import StoreUnavailable
from phototriage.duplicates import layout
from tests.collections.made import new_store
from tests.verifying_models import signed

WIDTH = 256
EXACT, STEP = 60, 20  # a graph from 60 rows on


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Embeddings (n, D) of no photos, with layouts."""
    rng = np.random.default_rng(seed)
    parts = []
    for size in (WIDTH, layout.DIMENSION):
        part = rng.standard_normal((count, size))
        parts.append(part / np.linalg.norm(part, axis=1, keepdims=True))
    return np.concatenate(parts, axis=1).astype(np.float32)


def fill(store: FolderStore, count: int, seed: int = 0, tags: tuple[str, ...] = ()) -> None:
    for place, vector in enumerate(vectors(count, seed)):
        photo = NewPhoto(f"{seed}/{place}", vector, signed(16 + place % 50)[0], tags)
        found = store.find(vector, 1, None, ())
        assert store.insert(photo, None, found.changes, 10_000) is not None


def nearest(store: FolderStore, vector: NDArray[np.float32]) -> str | None:
    """The id of the nearest, if it is next to equal."""
    found = store.find(vector, 1, None, ()).nearest.best(1)
    if not len(found.rows) or found.similarity[0] < 0.99:
        return None
    return next((kept.id for kept in store.photos(found.rows.tolist())), None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    store = new_store(tmp_path / "photos", exact=EXACT, step=STEP)
    yield store
    store.close()


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "not closed"])
def test_all_is_there_when_it_is_opened_again(tmp_path: Path, closed: bool) -> None:
    store = new_store(tmp_path / "photos", exact=EXACT, step=STEP)
    fill(store, 50, tags=("a", "b"))
    store.delete("0/7")
    store.mark("0/1", "0/2")
    if closed:
        store.close()
    else:  # as a killed process leaves it
        store._held.close()
    again = FolderStore(tmp_path / "photos", exact=EXACT, step=STEP)
    assert again.description == store.description
    assert again.counts()[:3] == (49, 0, 1)
    assert again.marked("0/2") == {"0/1"}
    for place, vector in enumerate(vectors(50)):
        assert nearest(again, vector) == (f"0/{place}" if place != 7 else None)
    kept = again.photo("0/3")
    assert kept is not None
    assert (kept.signature, kept.tags) == (signed(19)[0], ("a", "b"))
    fill(again, 3, seed=1)
    assert again.photo("1/0").row == 50  # type: ignore[union-attr]
    again.close()


def test_a_graph_finds_what_an_exact_search_does(tmp_path: Path) -> None:
    store = new_store(tmp_path / "photos", exact=EXACT, step=STEP)
    fill(store, 130)
    assert store.wait(20)
    assert store.graph_rows == 120
    assert [nearest(store, vector) for vector in vectors(130)] == [f"0/{place}" for place in range(130)]
    store.close()
    again = FolderStore(tmp_path / "photos", exact=EXACT, step=STEP)
    assert again.graph_rows == 120  # read, not made
    assert nearest(again, vectors(130)[77]) == "0/77"
    again.close()


def test_nothing_is_left_of_what_was_deleted(store: FolderStore) -> None:
    fill(store, 100)
    assert store.wait(20)
    vector, secret = vectors(1, seed=5)[0], b"only this photo has this signature"
    photo = NewPhoto("a secret id", vector, secret, ("a secret tag",))
    store.insert(photo, None, store.find(vector, 1, None, ()).changes, 10_000)
    store.mark("a secret id", "0/3")
    traces = [b"a secret id", b"a secret tag", secret, vector.astype("<f4").tobytes()]
    assert all(trace in bytes_of(store.folder) for trace in traces)
    assert store.delete("a secret id")
    assert not store.delete("a secret id")
    assert not [trace for trace in traces if trace in bytes_of(store.folder)]
    assert store.marked("0/3") == set()
    assert nearest(store, vector) is None


def test_no_saved_graph_has_a_photo_that_was_deleted(tmp_path: Path) -> None:
    store = new_store(tmp_path / "photos", exact=EXACT, step=STEP)
    fill(store, 100)
    assert store.wait(20)
    store._keeper._save()
    assert list(store.folder.glob("graph-*"))
    store.delete("0/5")
    assert not list(store.folder.glob("graph-*"))
    store._held.close()  # killed
    again = FolderStore(tmp_path / "photos", exact=EXACT, step=STEP)
    assert again.wait(20)
    assert nearest(again, vectors(100)[6]) == "0/6"
    again.close()
    store.close()
    (saved,) = again.folder.glob("graph-*")
    assert saved.name.endswith("100")


def test_a_graph_is_built_anew_once_many_rows_have_died(store: FolderStore) -> None:
    fill(store, 100)
    assert store.wait(20)
    for place in range(3):
        store.delete(f"0/{place}")
    assert store.wait(20)
    assert store._keeper._dead <= 1
    assert [nearest(store, vector) for vector in vectors(5)] == [None, None, None, "0/3", "0/4"]


def test_what_was_concluded_from_an_old_look_is_void(store: FolderStore) -> None:
    vector, other = vectors(2)
    changes = store.find(vector, 1, None, ()).changes
    assert store.insert(NewPhoto("a", vector, None, ()), None, changes, 10) is not None
    assert store.insert(NewPhoto("b", other, None, ()), None, changes, 10) is None
    assert store.photo("b") is None


def test_another_process_cannot_keep_it_too(store: FolderStore) -> None:
    with pytest.raises(StoreUnavailable, match="kept by another process"):
        FolderStore(store.folder)


def test_a_full_disk_is_said_and_loses_nothing(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 3)
    vector = vectors(1, seed=9)[0]
    changes = store.find(vector, 1, None, ()).changes

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.insert(NewPhoto("new", vector, None, ()), None, changes, 10)
    assert store.photo("new") is None
    assert nearest(store, vector) is None
    fill(store, 1, seed=9)
    assert nearest(store, vector) == "9/0"


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    store = new_store(tmp_path / "photos")
    fill(store, 3)
    store.close()
    (tmp_path / "photos/collection.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match="'photos' can't be kept or read"):
        FolderStore(tmp_path / "photos")


WRITER = """
import sys
from pathlib import Path
from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collections.photos import NewPhoto
from tests.collections.test_folder_store import EXACT, STEP, vectors

store = FolderStore(Path(sys.argv[1]), exact=EXACT, step=STEP)
seed = int(sys.argv[2])
for place, vector in enumerate(vectors(400, seed)):
    photo = NewPhoto(f"{seed}/{place}", vector, b"s", ())
    assert store.insert(photo, None, store.find(vector, 1, None, ()).changes, 100_000) is not None
    print("added", photo.id, flush=True)
    if place % 5 == 4:
        store.delete(f"{seed}/{place - 2}")
        print("deleted", f"{seed}/{place - 2}", flush=True)
"""


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    """At random moments, graph and deletions included. python -m tests.collection_kills kills a server so."""
    folder, rng = tmp_path / "photos", random.Random(0)
    new_store(folder, exact=EXACT, step=STEP).close()
    wanted: set[str] = set()
    for seed in range(3):
        command = [sys.executable, "-c", WRITER, str(folder), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            last = rng.randrange(20, 200)
            for number, line in enumerate(process.stdout):
                what, name = line.split()
                (wanted.add if what == "added" else wanted.discard)(name)
                if number == last:
                    process.send_signal(signal.SIGKILL)
    store = FolderStore(folder, exact=EXACT, step=STEP)
    there = {name for (name,) in store.list_photos(-1, 10_000, ()).items}
    # At each kill one change may have been made and not told: an addition, or a deletion of every fifth.
    assert len(there - wanted) <= 3
    assert len(wanted - there) <= 3
    assert all(int(name.split("/")[1]) % 5 == 2 for name in wanted - there)
    store.close()


@pytest.mark.parametrize("damage", ["gone", "cut", "of another time"])
def test_vectors_that_are_not_those_of_the_database_are_made_anew(tmp_path: Path, damage: str) -> None:
    """As where a backup of the database was put back."""
    store = new_store(tmp_path / "photos")
    fill(store, 30)
    store.close()
    file = tmp_path / "photos/vectors"
    if damage == "gone":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:9000] if damage == "cut" else content[::-1])
    again = FolderStore(tmp_path / "photos")
    assert [nearest(again, vector) for vector in vectors(30)] == [f"0/{place}" for place in range(30)]
    again.close()


def test_what_another_process_kept_in_the_log_goes_later(store: FolderStore) -> None:
    """A backup reads while a photo is deleted: the log can't be emptied then, but by the next change."""
    fill(store, 5)
    trace = signed(16 + 3)[0]
    with closing(sqlite3.connect(store.folder / "collection.db")) as backup:
        backup.execute("BEGIN")
        assert backup.execute("SELECT count(*) FROM photos").fetchone() == (5,)
        assert store.delete("0/3")
        assert trace in bytes_of(store.folder)
    store.delete("0/4")
    assert trace not in bytes_of(store.folder)


def test_a_search_passes_over_what_was_replaced(store: FolderStore) -> None:
    for seed in range(3):
        for place, vector in enumerate(vectors(2000, seed)[:50]):
            photo = NewPhoto(str(place), vector, None, ())
            assert store.insert(photo, None, store._changes, 1000) is not None
    assert len(store.vectors) == 150
    assert store.vectors.living == 50
    assert nearest(store, vectors(2000, 2)[7]) == "7"
    assert nearest(store, vectors(2000, 0)[7]) is None
