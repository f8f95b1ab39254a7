"""The index of images over days: answers by hand, against brute force, killed, repeated, repaired."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.pairs import similarity
from phototriage.index import segment as index_segment
from phototriage.index.groups import Groups
from phototriage.index.image_index import ImageIndex, IndexedModel, IndexFolderError, NearestMatch, Neighbour

Floats = NDArray[np.float32]

PLAIN = IndexedModel(name="plain", version="1", parts=(2,), threshold=0.9)
RESCORING = LayoutRescoring(floor=0.5, weight=0.6, doubt=0.1)


def turned(*degrees: float) -> Floats:
    """(N, 2): unit vectors, so that similarities are cosines of differences."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def unit(rows: NDArray[np.float64]) -> Floats:
    vectors: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def families(seed: int, count: int, parts: Sequence[int] = (12,)) -> Floats:
    """(count, D): some three near ones each, in a drawn order; with a layout, one of it is plain."""
    rng = np.random.default_rng(seed)
    columns = []
    for size in parts:
        centres = rng.standard_normal((count // 3 + 1, size)).repeat(3, 0)[:count]
        columns.append(unit(centres + 0.15 * rng.standard_normal(centres.shape)))
    vectors = np.hstack(columns)
    if len(parts) > 1:
        vectors[0, parts[0] :] = 0
    return vectors[rng.permutation(count)]


def labels(matches: list[NearestMatch]) -> list[str]:
    return [match.group for match in matches]


class Oracle:
    """The index by its definition: all earlier images one by one, and all members of every group."""

    def __init__(self, model: IndexedModel) -> None:
        self.model = model
        self.images: dict[str, Floats] = {}  # in the order of their rows
        self.groups: list[tuple[str, list[str]]] = []

    def add(self, name: str, vector: Floats) -> NearestMatch:
        values = {
            other: similarity(vector, earlier, self.model.layout_rescoring)
            for other, earlier in self.images.items()
            if other != name
        }
        stored = self.images.get(name)
        if stored is None or not np.array_equal(stored, vector):
            self.images.pop(name, None)
            self.images[name] = vector
            for _, members in self.groups:
                if name in members:
                    members.remove(name)
            fits = [
                (min(values[member] for member in members), -place)
                for place, (_, members) in enumerate(self.groups)
                if members and all(values[member] >= self.model.threshold for member in members)
            ]
            if fits:
                self.groups[-max(fits)[1]][1].append(name)
            else:
                used_labels = [label for label, _ in self.groups]
                label = (
                    name
                    if name not in used_labels
                    else f"{name}#{sum(used.startswith(name) for used in used_labels) + 1}"
                )
                self.groups.append((label, [name]))
        group = next(label for label, members in self.groups if name in members)
        if not values:
            return NearestMatch(None, None, False, group)
        nearest = max(values, key=lambda other: values[other])  # the first of equal ones
        return NearestMatch(nearest, values[nearest], values[nearest] >= self.model.threshold, group)


def open_small(folder: Path, model: IndexedModel = PLAIN, exact: int = 1000, step: int = 100) -> ImageIndex:
    return ImageIndex.open(folder, model, exact=exact, step=step, report=lambda text: None)


def add(
    folder: Path, batch_id: str, names: Sequence[str], vectors: Floats, exact: int = 1000, step: int = 100
) -> list[NearestMatch]:
    with open_small(folder, exact=exact, step=step) as index:
        batch = index.begin(batch_id)
        matches = batch.add(names, vectors)
        batch.commit()
    return matches


def test_each_image_gets_its_nearest_earlier_one_of_this_batch_and_of_earlier_ones(tmp_path: Path) -> None:
    first = add(tmp_path, "monday", ["a", "b", "c"], turned(0, 90, 10))
    assert first[0] == NearestMatch(None, None, False, "a")
    assert first[1].nearest == "a"
    assert first[1].similarity == pytest.approx(0, abs=1e-6)
    assert (first[1].is_duplicate, first[1].group) == (False, "b")
    assert first[2].nearest == "a"
    assert first[2].similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert (first[2].is_duplicate, first[2].group) == (True, "a")
    second = add(tmp_path, "tuesday", ["d", "e"], turned(95, 93))
    assert [(match.nearest, match.group) for match in second] == [("b", "b"), ("d", "b")]


def test_the_similarity_is_the_one_that_two_images_get_alone(tmp_path: Path) -> None:
    model = IndexedModel(
        name="with_layout", version="1", parts=(12, layout.DIMENSION), threshold=0.9, layout_rescoring=RESCORING
    )
    vectors = families(1, 40, model.parts)
    with open_small(tmp_path, model) as index:
        matches = index.begin("all").add([str(place) for place in range(40)], vectors)
    for place, match in enumerate(matches[1:], 1):
        assert match.similarity == similarity(vectors[place], vectors[int(str(match.nearest))], RESCORING)


def test_a_chain_of_similar_images_is_no_group(tmp_path: Path) -> None:
    # Neighbours are 20° apart, .94; two steps are .77.
    matches = add(tmp_path, "chain", list("abcd"), turned(0, 20, 40, 60))
    assert labels(matches) == ["a", "a", "c", "c"]
    assert all(match.is_duplicate for match in matches[1:])


def test_of_two_groups_it_joins_the_one_whose_least_similar_member_is_nearer(tmp_path: Path) -> None:
    matches = add(tmp_path, "some", list("abcde"), turned(0, 40, 48, 22, 18))
    # From 22° it is 22° to a, and 18° and 26° to b and c, which is .899: too far.
    assert labels(matches) == ["a", "b", "b", "a", "a"]
    assert labels(add(tmp_path / "tie", "some", list("abc"), turned(40, 0, 20))) == ["a", "b", "a"]


def test_equally_near_ones_are_answered_by_the_earliest(tmp_path: Path) -> None:
    matches = add(tmp_path, "same", list("abc"), turned(30, 30, 30))
    assert matches[2] == NearestMatch("a", 1.0, True, "a")


@pytest.mark.parametrize("exact", [1000, 0])
@pytest.mark.parametrize("parts", [(12,), (12, layout.DIMENSION)])
def test_it_answers_as_brute_force_does_whatever_the_pieces(tmp_path: Path, exact: int, parts: tuple[int, ...]) -> None:
    if not exact:
        pytest.importorskip("usearch")
    rescoring = RESCORING if len(parts) > 1 else None
    model = IndexedModel(name="drawn", version="1", parts=parts, threshold=0.85, layout_rescoring=rescoring)
    vectors = families(len(parts), 240, parts)
    names = [f"{place}.jpg" for place in range(240)]
    names[100], names[130], names[230] = names[20], names[60], names[90]  # other vectors of names that were there
    names[150], vectors[150] = names[33], vectors[33]
    oracle = Oracle(model)
    expected = [oracle.add(name, vector) for name, vector in zip(names, vectors, strict=True)]
    assert sum(match.is_duplicate for match in expected) > 100
    for pieces in ([80, 160], [7] * 40):
        matches: list[NearestMatch] = []
        folder = tmp_path / str(pieces[0])
        with open_small(folder, model, exact=exact, step=50) as index:
            for number, piece in enumerate(pieces):
                if number % 5 == 0:
                    batch = index.begin(f"from {len(matches)}")
                part = slice(len(matches), len(matches) + piece)
                matches += batch.add(names[part], vectors[part])
                if number % 5 == 4 or number == len(pieces) - 1:
                    batch.commit()
            assert index.info().graph_rows == (0 if exact else 200)
        assert matches == expected


@example_settings(max_examples=25, deadline=None)
@given(
    angles=st.lists(st.integers(0, 36), min_size=1, max_size=25),
    names=st.lists(st.sampled_from("abcdefghij"), min_size=25, max_size=25),
    cuts=st.sets(st.integers(1, 24), max_size=4),
)
def test_names_that_come_again_answer_as_brute_force_does(
    tmp_path_factory: pytest.TempPathFactory, angles: list[int], names: list[str], cuts: set[int]
) -> None:
    vectors, names = turned(*(10.0 * angle for angle in angles)), names[: len(angles)]
    oracle = Oracle(PLAIN)
    expected = [oracle.add(name, vector) for name, vector in zip(names, vectors, strict=True)]
    folder = tmp_path_factory.mktemp("index")
    edges = [0, *sorted(cut for cut in cuts if cut < len(angles)), len(angles)]
    matches: list[NearestMatch] = []
    for low, high in pairwise(edges):
        matches += add(folder, f"from {low}", names[low:high], vectors[low:high])
    assert matches == expected


def test_every_two_images_of_a_group_reach_the_threshold(tmp_path: Path) -> None:
    model = IndexedModel(name="drawn", version="1", parts=(3,), threshold=0.95)
    vectors = unit(np.random.default_rng(0).standard_normal((200, 3)))
    with open_small(tmp_path, model) as index:
        matches = index.begin("all").add([str(place) for place in range(200)], vectors)
    members: dict[str, list[int]] = {}
    for place, match in enumerate(matches):
        members.setdefault(match.group, []).append(place)
    assert max(map(len, members.values())) > 3
    for label, places in members.items():
        assert label == str(places[0])
        assert all(similarity(vectors[a], vectors[b]) >= 0.95 for a in places for b in places)


def test_a_batch_that_is_not_committed_leaves_no_trace(tmp_path: Path) -> None:
    add(tmp_path, "kept", ["a"], turned(0))
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with open_small(tmp_path) as index:
        index.begin("lost").add(["b", "a"], turned(5, 50))
        assert index.begin("other").add(["c"], turned(5)) == [NearestMatch("a", similarity(*turned(0, 5)), True, "a")]
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    with open_small(tmp_path) as index:
        assert index.info().images == 1


def test_a_process_that_is_killed_while_it_commits_leaves_the_batch_out(tmp_path: Path) -> None:
    add(tmp_path, "kept", ["a"], turned(0))
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from phototriage.index import segment\n"
        "from phototriage.index.image_index import ImageIndex\n"
        "from tests.index.test_image_index import PLAIN, turned\n"
        "batch = ImageIndex.open(Path(sys.argv[1]), PLAIN).begin('lost')\n"
        "batch.add(['b'], turned(5))\n"
        "segment.sha256_of = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "batch.commit()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert list(tmp_path.rglob("*.part"))
    with open_small(tmp_path) as index:
        assert not list(tmp_path.rglob("*.part"))
        assert index.info().batches == 1
        assert index.begin("lost").add(["b"], turned(5))[0].nearest == "a"


def test_a_batch_that_was_interrupted_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, "kept", ["a"], turned(0))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with open_small(tmp_path) as index:
        batch = index.begin("lost")
        with monkeypatch.context() as patched:
            patched.setattr(Groups, "join", interrupt)
            with pytest.raises(KeyboardInterrupt):
                batch.add(["b"], turned(5))
        with pytest.raises(IndexFolderError, match="is over"):
            batch.commit()
        assert index.begin("lost").add(["b"], turned(5))[0].nearest == "a"


def test_a_disk_that_is_full_after_the_commit_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_small(tmp_path) as index:
        for number in range(7):
            batch = index.begin(str(number))
            batch.add([str(number)], turned(number * 40))
            batch.commit()
        batch = index.begin("last")
        batch.add(["last"], turned(3))
        with monkeypatch.context() as patched:
            patched.setattr(index_segment, "merge", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
            with pytest.raises(OSError, match="no space"):
                batch.commit()
        batch.commit()
        assert (index.info().images, index.info().batches, index.info().segments) == (8, 8, 8)
        index.begin("more").commit()
        assert index.info().segments == 1


def test_a_reader_keeps_to_what_it_opened_while_the_index_is_rebuilt(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    vectors, names = turned(*np.linspace(0, 300, 130)), [str(place) for place in range(130)]
    add(tmp_path, "one", names, vectors, exact=0, step=50)
    add(tmp_path, "two", names[:20], turned(*np.linspace(310, 330, 20)))
    with ImageIndex.open(tmp_path, PLAIN, read_only=True) as reader, open_small(tmp_path) as writer:
        writer.rebuild()
        assert writer.info().graph_rows == 100
        for index in (reader, writer):
            assert [neighbours[0].name for neighbours in index.query(vectors[30:])] == names[30:]
            assert index.info().images == 130


def test_a_committed_batch_answers_again_as_it_did(tmp_path: Path) -> None:
    names = ["a", "b", "\udcff\n.jpg"]
    first = add(tmp_path, "day", names, turned(0, 10, 70))
    add(tmp_path, "next", ["c"], turned(12))
    with open_small(tmp_path) as index:
        batch = index.begin("day")
        assert batch.committed
        assert [batch.add([name], turned(0))[0] for name in names] == first
        batch.commit()
        assert index.info().batches == 2
        with pytest.raises(IndexFolderError, match="without an image 'c'"):
            batch.add(["c"], turned(12))


def test_the_same_name_is_never_its_own_neighbour_and_isnt_added_twice(tmp_path: Path) -> None:
    add(tmp_path, "one", ["a", "b"], turned(0, 60))
    again = add(tmp_path, "two", ["a"], turned(0))
    assert again == [NearestMatch("b", similarity(*turned(0, 60)), False, "a")]
    with open_small(tmp_path) as index:
        assert (index.info().images, index.info().replaced) == (2, 0)


def test_another_picture_of_a_name_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    add(tmp_path, "one", ["a", "b"], turned(0, 5))
    matches = add(tmp_path, "two", ["a", "c"], turned(90, 4))
    assert matches[0].nearest == "b"
    assert matches[0].group == "a#2"  # b is still in the group that was called a
    assert matches[1] == NearestMatch("b", similarity(*turned(4, 5)), True, "a")
    for rebuilt in (False, True):
        with open_small(tmp_path) as index:
            if rebuilt:
                index.rebuild()
            assert (index.info().images, index.info().replaced) == (3, int(not rebuilt))
            assert index.query(turned(0), 3)[0][0].name == "c"
            assert index.begin("three").add(["d"], turned(89))[0].group == "a#2"


def test_queries_give_the_nearest_first_and_add_nothing(tmp_path: Path) -> None:
    add(tmp_path, "one", list("abc"), turned(0, 60, 90))
    with ImageIndex.open(tmp_path, PLAIN, read_only=True) as index:
        neighbours = index.query(turned(50, 0), 2)
        assert [[neighbour.name for neighbour in neighbours_of_query] for neighbours_of_query in neighbours] == [
            ["b", "c"],
            ["a", "b"],
        ]
        assert neighbours[1][0] == Neighbour("a", 1.0)
        assert len(index.query(turned(50), 10)[0]) == 3
        assert index.query(np.empty((0, 2), np.float32)) == []
        with pytest.raises(ValueError, match="ask for 1 or more"):
            index.query(turned(0), 0)
        with pytest.raises(IndexFolderError, match="opened to read"):
            index.begin("two")
        with pytest.raises(IndexFolderError, match="opened to read"):
            index.rebuild()


def test_what_was_closed_or_given_up_takes_no_more(tmp_path: Path) -> None:
    with open_small(tmp_path) as index:
        first, second = index.begin("one"), index.begin("two")
        for call in (lambda: first.add(["a"], turned(0)), first.commit):
            with pytest.raises(IndexFolderError, match="is over"):
                call()
        second.add(["a"], turned(0))
    with pytest.raises(IndexFolderError, match="is closed"):
        second.commit()
    with open_small(tmp_path) as index, pytest.raises(ValueError, match="each needs one"):
        index.begin("three").add(["a", "b"], turned(0))


def test_an_empty_index_has_no_neighbours(tmp_path: Path) -> None:
    with open_small(tmp_path) as index:
        assert index.query(turned(0)) == [[]]
        index.rebuild()
        batch = index.begin("nothing")
        assert batch.add([], np.empty((0, 2), np.float32)) == []
        batch.commit()
        assert (index.info().batches, index.info().images) == (1, 0)
    assert add(tmp_path, "one", ["a"], turned(0)) == [NearestMatch(None, None, False, "a")]


def test_many_batches_become_few_segments_with_the_same_answers(tmp_path: Path) -> None:
    vectors = families(5, 60)
    model = IndexedModel(name="drawn", version="1", parts=(12,), threshold=0.85)
    matches: list[list[NearestMatch]] = []
    with open_small(tmp_path, model) as index:
        for start in range(0, 60, 2):
            batch = index.begin(str(start))
            matches.append(batch.add([f"{place}" for place in (start, start + 1)], vectors[start : start + 2]))
            batch.commit()
        assert index.info().segments < 12
        assert index.info().batches == 30
    with open_small(tmp_path, model) as index:
        index.rebuild()
        assert index.info().segments == 1
        groups = index.info().groups
    with open_small(tmp_path, model) as index:
        for start, answers in zip(range(0, 60, 2), matches, strict=True):
            assert index.begin(str(start)).add([f"{start}", f"{start + 1}"], vectors[start : start + 2]) == answers
        assert index.info().groups == groups > 10
    alone = tmp_path / "alone"
    with open_small(alone, model) as index:
        names = [str(place) for place in range(60)]
        assert index.begin("all").add(names, vectors) == [
            match for matches_of_batch in matches for match in matches_of_batch
        ]


@pytest.mark.parametrize("harm", ["cut", "changed", "lost", "record lost"])
def test_a_graph_that_is_damaged_or_lost_is_built_again(tmp_path: Path, harm: str) -> None:
    pytest.importorskip("usearch")
    vectors, names = turned(*np.linspace(0, 300, 130)), [str(place) for place in range(130)]
    messages: list[str] = []
    add(tmp_path, "one", names, vectors, exact=0, step=50)
    (graph,) = tmp_path.rglob("graph-*")
    assert graph.name.endswith("100")
    whole = (graph / "seen.usearch").read_bytes()
    if harm == "cut":
        (graph / "seen.usearch").write_bytes(whole[:-9])
    elif harm == "changed":
        (graph / "seen.usearch").write_bytes(whole[:500] + b"\xff" + whole[501:])
    elif harm == "lost":
        shutil.rmtree(graph)
    else:
        (graph / "graph.json").unlink()
    with ImageIndex.open(tmp_path, PLAIN, read_only=True, report=messages.append) as index:
        assert index.query(vectors[40:41])[0][0] == Neighbour("40", 1.0)
        assert index.info().graph_rows == 0
    with ImageIndex.open(tmp_path, PLAIN, report=messages.append) as index:
        index.begin("two")
        assert index.info().graph_rows == 100
    assert (graph / "seen.usearch").read_bytes() == whole
    assert any("built again" in text for text in messages)


def test_damaged_vectors_are_an_error(tmp_path: Path) -> None:
    add(tmp_path, "one", ["a"], turned(0))
    (path,) = tmp_path.rglob("vectors.npy")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexFolderError, match=r"vectors.npy was changed or damaged.*Restore"):
        open_small(tmp_path)
    path.unlink()
    with pytest.raises(IndexFolderError, match="can't be read"):
        ImageIndex.open(tmp_path, PLAIN, read_only=True)


@pytest.mark.parametrize("vector", [[0.7, 0.7], [np.nan, 1], [1, 0, 0]])
def test_what_is_no_embedding_of_the_model_is_refused(tmp_path: Path, vector: list[float]) -> None:
    with open_small(tmp_path) as index, pytest.raises(ValueError, match=r"row 0's columns 0 to 1|are \(N, 2\)"):
        index.begin("one").add(["a"], np.array([vector], np.float32))


def test_the_graph_is_the_same_however_often_the_process_begins_again(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    model = IndexedModel(name="drawn", version="1", parts=(12,), threshold=0.85)
    vectors, names = families(9, 300), [str(place) for place in range(300)]
    graphs = []
    for folder, pieces in ((tmp_path / "a", [300]), (tmp_path / "b", [60, 120, 120])):
        start = 0
        for piece in pieces:
            with open_small(folder, model, exact=0, step=50) as index:
                index.begin("lost").add(["lost"], vectors[:1])
                batch = index.begin(str(start))
                batch.add(names[start : start + piece], vectors[start : start + piece])
                batch.commit()
            start += piece
        (path,) = folder.rglob("seen.usearch")
        graphs.append(path.read_bytes())
    assert graphs[0] == graphs[1]
