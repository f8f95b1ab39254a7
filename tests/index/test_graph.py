"""Graphs of an index: what they find, that they are the same each time, saved and damaged. Needs usearch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.index.graph import Graph, folders, parts_of, remove_all_but
from phototriage.index.rows import Rows
from phototriage.index.search import Queries, SearchCriteria, search
from tests.index.test_image_index import RESCORING, families

pytest.importorskip("usearch")

Floats = NDArray[np.float32]

STEP = 100


def graph_of(vectors: Floats, sizes: tuple[int, ...], rows: int, threads: int = 1) -> Graph:
    graph = Graph(parts_of(sizes), STEP, threads)
    graph.extend(rows, lambda low, high: vectors[low:high])
    return graph


@pytest.mark.parametrize("sizes", [(24,), (24, layout.DIMENSION)])
def test_its_candidates_hold_nearly_all_of_the_nearest(sizes: tuple[int, ...]) -> None:
    vectors = families(1, 3000, sizes)
    rows = Rows(sum(sizes))
    rows.append_segment([str(place) for place in range(3000)], vectors, np.empty(0, np.int64))
    queries = Queries(vectors[:500], np.full(500, 3000), np.arange(500))
    rescoring = RESCORING if len(sizes) > 1 else None
    exact = search(rows, queries, SearchCriteria(1), rescoring)
    found = search(rows, queries, SearchCriteria(1), rescoring, graph_of(vectors, sizes, 3000))
    same = [one.best(1).rows.tolist() == other.best(1).rows.tolist() for one, other in zip(exact, found, strict=True)]
    assert np.mean(same) >= 0.99


def test_a_mirrored_layout_is_found() -> None:
    sizes = (24, layout.DIMENSION)
    vectors = families(2, 400, sizes)
    queries = families(3, 400, sizes)
    queries[:, 24:] = vectors[:, 24:]
    queries[:, 24 + layout.EVEN :] *= -1
    candidates = graph_of(vectors, sizes, 400).candidates(queries)
    seen = vectors[:, 24:].any(axis=1)
    assert all(place in candidates[place] for place in np.flatnonzero(seen))


def test_few_rows_and_one_query_are_filled_up_with_none() -> None:
    vectors = families(4, 100)
    graph = Graph(parts_of((12,)), 20, threads=1)
    assert (graph.candidates(vectors[:2]) == -1).all()
    graph.extend(20, lambda low, high: vectors[low:high])
    for count in (1, 3):
        candidates = graph.candidates(vectors[:count])
        assert candidates.shape == (count, 64)
        for row in candidates.tolist():
            assert sorted(row) == [-1] * 44 + list(range(20))


def test_threads_that_search_dont_change_what_is_found() -> None:
    vectors = families(5, 1000)
    one, two = (graph_of(vectors, (12,), 1000, threads).candidates(vectors) for threads in (1, 2))
    assert np.array_equal(one, two)


def test_a_graph_that_goes_on_from_a_file_is_the_same_as_one_that_never_stopped(tmp_path: Path) -> None:
    vectors, parts = families(6, 600, (12, layout.DIMENSION)), parts_of((12, layout.DIMENSION))
    graph = graph_of(vectors, (12, layout.DIMENSION), 300)
    graph.candidates(vectors)
    graph.save(tmp_path)
    (folder,) = folders(tmp_path)
    again = Graph.load(folder, parts, STEP, view=False)
    assert again is not None
    assert again.rows == 300
    again.extend(600, lambda low, high: vectors[low:high])
    again.save(tmp_path / "again")
    graph_of(vectors, (12, layout.DIMENSION), 600).save(tmp_path / "whole")
    for name in ("seen", "placed"):
        files = [path.read_bytes() for path in sorted(tmp_path.glob(f"*/*600/{name}.usearch"))]
        assert len(files) == 2
        assert files[0] == files[1]


def test_one_of_other_settings_isnt_taken(tmp_path: Path) -> None:
    graph_of(families(7, 200), (12,), 200).save(tmp_path)
    (folder,) = folders(tmp_path)
    assert Graph.load(folder, parts_of((12,)), STEP, view=True) is not None
    assert Graph.load(folder, parts_of((12,)), STEP // 2, view=True) is None
    assert Graph.load(folder, parts_of((12, layout.DIMENSION)), STEP, view=True) is None


def test_smaller_ones_are_removed(tmp_path: Path) -> None:
    vectors = families(8, 200)
    for rows in (100, 200):
        graph_of(vectors, (12,), rows).save(tmp_path)
    assert len(folders(tmp_path)) == 2
    remove_all_but(tmp_path, 200)
    assert [path.name for path in folders(tmp_path)] == ["graph-000000000200"]
