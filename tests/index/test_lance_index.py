"""The index for more than one machine. Needs lancedb, which is optional."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from phototriage.duplicates import layout
from phototriage.duplicates.pairs import similarities
from phototriage.index import lance_index
from phototriage.index.image_index import IndexedModel, IndexFolderError, Neighbour
from phototriage.index.lance_index import LanceIndex
from tests.index.test_image_index import PLAIN, RESCORING, families, turned

pytestmark = pytest.mark.skipif(find_spec("lancedb") is None, reason="lancedb is not installed")

WITH_LAYOUT = IndexedModel(
    name="with_layout", version="1", parts=(12, layout.DIMENSION), threshold=0.9, layout_rescoring=RESCORING
)


def test_the_nearest_come_first_with_exact_similarities_and_another_process_finds_them(tmp_path: Path) -> None:
    vectors = families(3, 90, WITH_LAYOUT.parts)
    vectors[1, 12 + layout.EVEN :] *= -1
    names = [f"{place:02d}" for place in range(90)]
    LanceIndex.open(str(tmp_path), WITH_LAYOUT).add(names, vectors)
    index = LanceIndex.open(str(tmp_path), WITH_LAYOUT)
    assert len(index) == 90
    neighbours_of_all = index.query(vectors, 3, names)
    for place, neighbours in enumerate(neighbours_of_all):
        exact = similarities(np.repeat(vectors[place : place + 1], 90, axis=0), vectors, RESCORING)
        exact[place] = -2
        order = np.argsort(-exact, kind="stable")[:3]
        assert neighbours == [Neighbour(names[row], exact[row]) for row in order]


def test_adding_again_changes_nothing_and_another_picture_takes_the_place(tmp_path: Path) -> None:
    index = LanceIndex.open(str(tmp_path), PLAIN)
    index.add(["a", "b"], turned(0, 60))
    index.add(["a", "b"], turned(0, 60))
    assert len(index) == 2
    index.add(["a", "c", "a"], turned(10, 90, 50))
    assert len(index) == 3
    assert index.query(turned(50))[0] == [Neighbour("a", 1.0)]
    assert [neighbour.name for neighbour in index.query(turned(50), 3, ["a"])[0]] == ["b", "c"]


def test_an_empty_table_has_no_neighbours(tmp_path: Path) -> None:
    index = LanceIndex.open(str(tmp_path), PLAIN)
    index.add([], np.empty((0, 2), np.float32))
    index.build()
    assert index.query(turned(0, 1)) == [[], []]
    assert index.query(np.empty((0, 2), np.float32)) == []


def test_another_version_is_refused(tmp_path: Path) -> None:
    LanceIndex.open(str(tmp_path), PLAIN)
    for other in ({"version": "2"}, {"threshold": 0.5}):
        with pytest.raises(IndexFolderError, match=r"version '1', threshold 0.9.*Name a new place"):
            LanceIndex.open(str(tmp_path), PLAIN.model_copy(update=other))


def test_a_model_that_verifies_is_compared_by_similarity_and_by_versions_of_the_same_embeddings(tmp_path: Path) -> None:
    LanceIndex.open(str(tmp_path), PLAIN).add(["a"], turned(0))
    later = {"version": "2", "same_embeddings_as": ("1",), "min_probability": 0.5}
    index = LanceIndex.open(str(tmp_path), PLAIN.model_copy(update=later))
    assert not index.model.verifies
    assert index.query(turned(0))[0] == [Neighbour("a", 1.0)]


def test_what_was_added_after_the_index_was_built_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_index, "MIN_INDEXED_ROWS", 260)
    vectors = families(4, 330, WITH_LAYOUT.parts)
    names = [str(place) for place in range(330)]
    index = LanceIndex.open(str(tmp_path), WITH_LAYOUT)
    index.add(names[:260], vectors[:260])
    index.build()
    index.add(names[260:], vectors[260:])
    for _ in range(2):
        neighbours_of_all = index.query(vectors)
        assert [neighbours[0] for neighbours in neighbours_of_all] == [Neighbour(name, 1.0) for name in names]
        index.build()


def test_counts_and_shapes_that_dont_fit_are_refused(tmp_path: Path) -> None:
    index = LanceIndex.open(str(tmp_path), PLAIN)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        index.query(turned(0), 0)
    with pytest.raises(ValueError, match="each needs one"):
        index.query(turned(0), 1, ["a", "b"])
    with pytest.raises(ValueError, match="each needs one"):
        index.add(["a", "b"], turned(0))
    with pytest.raises(ValueError, match="has to be 1"):
        index.add(["a"], np.array([[3, 4]], np.float32))
