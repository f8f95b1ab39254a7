"""Collections to Parquet and back, and what `phototriage score` wrote as a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from phototriage.cli import main
from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collections import exchange
from phototriage.collections.photos import NewPhoto
from tests.collection_stores.test_folder_store import fill, nearest, vectors
from tests.collections.made import new_store
from tests.tiny_models import write_embedder

EXACT = {"exact": 60, "step": 20}


def filled(folder: Path) -> FolderStore:
    store = new_store(folder, **EXACT)
    fill(store, 100, tags=("a", "b"))
    store.delete("0/50")
    store.mark("0/1", "0/2")
    found = store.photo("0/3")
    assert found is not None
    copy = found.vector
    store.insert(NewPhoto("copy", copy, found.signature, ()), found.group, store._changes, 1000)
    assert nearest(store, copy) in ("0/3", "copy")
    return store


def test_what_is_exported_is_the_same_imported(tmp_path: Path) -> None:
    first, told = filled(tmp_path / "first"), list[int]()
    assert exchange.write(first, tmp_path / "x.parquet", told.append) == sum(told) == 100
    second = new_store(tmp_path / "second", **EXACT)
    assert exchange.read(second, tmp_path / "x.parquet", lambda _: None) == (100, 0)
    assert second.counts()[:3] == first.counts()[:3] == (100, 1, 1)
    for name in ("0/0", "0/99", "copy"):
        one, other = first.photo(name), second.photo(name)
        assert one is not None
        assert other is not None
        assert other.is_as(one)
        assert (other.tags, other.added_at) == (one.tags, one.added_at)
    assert [ids[1:] for ids in second.list_groups(-1, 9, 9).items] == [("2", "0/3", "copy")]
    assert second.marked("0/2") == {"0/1"}
    assert [nearest(second, vector) for vector in vectors(3)] == ["0/0", "0/1", "0/2"]
    # Again: each replaces itself.
    assert exchange.read(second, tmp_path / "x.parquet", lambda _: None).photos == 100
    assert second.counts()[:3] == (100, 1, 1)
    first.close()
    second.close()


def rows(tmp_path: Path, **changes: Any) -> list[dict[str, Any]]:
    store = new_store(tmp_path / "source")
    fill(store, 2)
    exchange.write(store, tmp_path / "source.parquet", lambda _: None)
    store.close()
    found: list[dict[str, Any]] = pq.read_table(tmp_path / "source.parquet").to_pylist()
    found[1]["embed"]["embedding"].update(changes)
    return found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "0" * 16}, "version 0000000000000000, and the collection is of"),
        ({"values": [1.0, 0.0]}, "'0/1': embeddings of near_duplicates are"),
        ({"values": [1.0] * 320}, "'0/1': row 0's columns"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], told: str
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist(rows(tmp_path, **changes), exchange.SCHEMA), path)
    new_store(tmp_path / "kept/photos").close()
    assert main(["collection", "import", "photos", str(path), "--collections", str(tmp_path / "kept")]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("content", ["no", "columns", "nothing"])
def test_other_files_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    path = tmp_path / "x.parquet"
    if content == "no":
        path.write_bytes(b"no")
    elif content == "columns":
        pq.write_table(pa.table({"name": ["a"]}), path)
    new_store(tmp_path / "kept/photos").close()
    assert main(["collection", "import", "photos", str(path), "--collections", str(tmp_path / "kept")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "x.parquet" in error


def test_what_was_scored_becomes_a_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_embedder(tmp_path / "models/tiny_embedder")
    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(tmp_path / "models"))
    monkeypatch.setenv("PHOTOTRIAGE_COLLECTIONS", str(tmp_path / "kept"))
    (tmp_path / "photos").mkdir()
    for name, colour in (("a.png", (255, 0, 0)), ("b.png", (0, 0, 255))):
        Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos/c.png").write_bytes(b"broken")
    scores, copy = tmp_path / "scores.parquet", tmp_path / "copy.parquet"
    main(["score", str(tmp_path / "photos"), "-o", str(scores), "--include", "embed", "--workers", "1"])
    capsys.readouterr()
    assert main(["collection", "import", "photos", str(scores)]) == 0
    assert json.loads(capsys.readouterr().out) == {"collection": "photos", "photos": 2, "passed_over": 1}
    assert main(["collection", "list"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 2
    assert main(["collection", "export", "photos", "-o", str(copy)]) == 0
    assert sorted(row["name"] for row in pq.read_table(copy).to_pylist()) == ["a.png", "b.png"]
    assert main(["collection", "export", "others", "-o", str(copy)]) == 2
    monkeypatch.delenv("PHOTOTRIAGE_COLLECTIONS")
    assert main(["collection", "list"]) == 2
