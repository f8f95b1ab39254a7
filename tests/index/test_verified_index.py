"""An index that verifies: embeddings name candidates, and verification decides."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.common.errors import IndexFolderError
from phototriage.duplicates import layout
from phototriage.duplicates.pairs import similarity
from phototriage.index import batch as index_batch
from phototriage.index import pair_verifier
from phototriage.index.folder import IndexedModel, model_of
from phototriage.index.image_index import ImageIndex, NearestMatch, Neighbour
from phototriage.index.verified_rows import NEAREST
from phototriage.verification.signature import decode
from tests.index.test_image_index import PLAIN, RESCORING, add, families, turned
from tests.verifying_models import ToldVerifier, signed

Floats = NDArray[np.float32]

VERIFYING = PLAIN.model_copy(update={"min_probability": 0.5})
DRAWN = IndexedModel(name="drawn", version="1", parts=(12,), threshold=0.85, min_probability=0.5)
WITH_LAYOUT = IndexedModel(
    name="drawn",
    version="1",
    parts=(12, layout.DIMENSION),
    threshold=0.9,
    layout_rescoring=RESCORING,
    min_probability=0.5,
)


def open_told(
    folder: Path, model: IndexedModel = VERIFYING, verifier: ToldVerifier | None = None, exact: int = 1000
) -> ImageIndex:
    told = verifier or ToldVerifier()
    return ImageIndex.open(folder, model, exact=exact, step=50, threads=2, verifier=told, report=lambda text: None)


def add_told(
    folder: Path, batch_id: str, names: Sequence[str], vectors: Floats, heights: Sequence[int]
) -> list[NearestMatch]:
    with open_told(folder) as index:
        batch = index.begin(batch_id)
        matches = batch.add(names, vectors, signed(*heights))
        batch.commit()
    return matches


def labels(matches: Sequence[NearestMatch]) -> list[str]:
    return [match.group for match in matches]


def test_verification_decides_among_images_that_are_all_alike(tmp_path: Path) -> None:
    first = add_told(tmp_path, "one", list("abc"), turned(0, 1, 2), [20, 30, 20])
    assert first[0] == NearestMatch(None, None, False, "a")
    assert first[1] == NearestMatch("a", similarity(*turned(0, 1)), False, "b", 0.1)
    # b is more similar to c, but a is the same photo.
    assert first[2] == NearestMatch("a", similarity(*turned(0, 2)), True, "a", 0.9)
    assert first[2].verified
    (second,) = add_told(tmp_path, "two", ["d"], turned(2), [30])
    assert (second.nearest, second.is_duplicate, second.group) == ("b", True, "b")


def test_what_is_unlike_isnt_verified_and_no_duplicate(tmp_path: Path) -> None:
    verifier = ToldVerifier()
    with open_told(tmp_path, verifier=verifier) as index:
        match = index.begin("one").add(["a", "b"], turned(0, 90), signed(20, 20))[1]
    assert (match.nearest, match.probability, match.verified, match.is_duplicate) == ("a", None, False, False)
    assert verifier.asked == []


def test_a_chain_of_duplicates_is_no_group(tmp_path: Path) -> None:
    matches = add_told(tmp_path, "chain", list("abcd"), turned(0, 1, 2, 3), [20, 21, 22, 23])
    assert labels(matches) == ["a", "a", "c", "c"]
    assert [match.nearest for match in matches] == [None, "a", "b", "c"]


def test_members_that_are_not_among_the_nearest_are_verified_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first is the farthest from the last one, which is nearer to six others of its group.
    vectors, heights = turned(0, 10, 11, 12, 13, 14, 15, 15), [20, *[21] * 6]
    assert labels(add_told(tmp_path / "joins", "one", list("abcdefgh"), vectors, [*heights, 21])) == ["a"] * 8
    assert labels(add_told(tmp_path / "not", "one", list("abcdefgh"), vectors, [*heights, 22]))[-1] == "h"
    monkeypatch.setattr(index_batch, "MOST_MEMBERS", 1)
    monkeypatch.setattr(pair_verifier, "MOST_KEPT", 0)
    verifier = ToldVerifier()
    with open_told(tmp_path / "bounded", verifier=verifier) as index:
        batch = index.begin("one")
        assert labels(batch.add(list("abcdefg"), vectors[:7], signed(*heights))) == ["a"] * 7
        verifier.asked.clear()
        assert labels(batch.add(["h"], vectors[7:], signed(21))) == ["a"]
    assert len(verifier.asked) == NEAREST + 1


def drawn_images(count: int = 150) -> tuple[list[str], Floats, list[bytes]]:
    vectors = families(3, count)
    heights = np.random.default_rng(4).integers(20, 32, count).tolist()
    names = [f"{place}.jpg" for place in range(count)]
    names[70], names[90], names[140] = names[20], names[60], names[30]
    names[120], vectors[120], heights[120] = names[33], vectors[33], heights[33]
    return names, vectors, signed(*heights)


@pytest.mark.parametrize("exact", [1000, 0])
def test_pieces_and_new_processes_change_no_answer(tmp_path: Path, exact: int) -> None:
    if not exact:
        pytest.importorskip("usearch")
    names, vectors, signatures = drawn_images()
    answers = []
    for pieces in ([150], [50, 100], [7] * 21 + [3]):
        matches: list[NearestMatch] = []
        for number, piece in enumerate(pieces):
            with open_told(tmp_path / str(len(pieces)), DRAWN, exact=exact) as index:
                part = slice(len(matches), len(matches) + piece)
                batch = index.begin(str(number))
                matches += batch.add(names[part], vectors[part], signatures[part])
                batch.commit()
        answers.append(matches)
    assert answers[0] == answers[1] == answers[2]
    assert sum(match.is_duplicate for match in answers[0]) > 30
    assert sum(match.verified and not match.is_duplicate for match in answers[0]) > 15


def test_every_two_of_a_group_are_duplicates(tmp_path: Path) -> None:
    _, vectors, signatures = drawn_images()
    names = [str(place) for place in range(150)]
    with open_told(tmp_path, DRAWN) as index:
        matches = index.begin("one").add(names, vectors, signatures)
    verifier = ToldVerifier()
    members: dict[str, list[int]] = {}
    for place, match in enumerate(matches):
        members.setdefault(match.group, []).append(place)
    assert sum(len(places) > 1 for places in members.values()) > 20
    for places in members.values():
        assert all(
            verifier.verify(decode(signatures[a]), decode(signatures[b])).decision == "duplicate"
            for a in places
            for b in places
        )


def test_merged_and_rebuilt_it_keeps_each_rows_signature(tmp_path: Path) -> None:
    heights = list(range(20, 140, 2))
    vectors = turned(*np.linspace(0, 300, 60))
    with open_told(tmp_path) as index:
        for place in range(60):
            batch = index.begin(str(place))
            batch.add([str(place)], vectors[place : place + 1], signed(heights[place]))
            batch.commit()
        assert index.info().segments < 12
        batch = index.begin("again")
        batch.add(["7"], vectors[7:8], signed(201))
        batch.commit()
    heights[7] = 201
    for rebuilt in (False, True):
        with open_told(tmp_path) as index:
            if rebuilt:
                index.rebuild()
            found = index.query(vectors, signatures=signed(*heights))
            assert [neighbours[0].name for neighbours in found] == [str(place) for place in range(60)]
            assert all(neighbours[0].probability == 0.9 for neighbours in found)
    assert len(list(tmp_path.rglob("signatures.bin"))) == 1


def test_a_query_names_duplicates_first(tmp_path: Path) -> None:
    add_told(tmp_path, "one", list("abcd"), turned(0, 1, 2, 120), [30, 20, 40, 50])
    with ImageIndex.open(tmp_path, VERIFYING, read_only=True, verifier=ToldVerifier()) as index:
        (found,) = index.query(turned(0), 4, signatures=signed(20))
        assert [(each.name, each.probability) for each in found] == [("b", 0.9), ("a", 0.1), ("c", 0.1), ("d", None)]
        assert len(index.query(turned(0), 1, signatures=signed(20))[0]) == 1
        assert index.query(turned(0), 2)[0][0] == Neighbour("a", 1.0)
        assert index.query(turned(0), 1, ["a"], signed(30))[0][0].name == "b"
        with pytest.raises(ValueError, match="0 signatures came with 1"):
            index.query(turned(0), 1, signatures=[])
    with (
        ImageIndex.open(tmp_path, VERIFYING, read_only=True) as index,
        pytest.raises(IndexFolderError, match="opened without a verifier"),
    ):
        index.query(turned(0), 1, signatures=signed(20))


@pytest.mark.parametrize("exact", [1000, 0])
def test_turned_copies_are_found_by_their_layout(tmp_path: Path, exact: int) -> None:
    if not exact:
        pytest.importorskip("usearch")
    vectors = families(6, 60, WITH_LAYOUT.parts)[np.r_[1:60]]
    vectors = vectors[vectors[:, 12:].any(axis=1)][:50]
    copies = families(7, 50, WITH_LAYOUT.parts)
    turns = layout.turned(vectors[:, 12:])
    for place in range(50):
        copies[place, 12:] = turns[place % 3][place]
    with open_told(tmp_path, WITH_LAYOUT, exact=exact) as index:
        batch = index.begin("one")
        batch.add([f"{place}" for place in range(50)], vectors, signed(*range(20, 120, 2)))
        matches = batch.add([f"copy {place}" for place in range(50)], copies, signed(*range(20, 120, 2)))
        batch.commit()
        assert index.info().graph_rows == (0 if exact else 100)
    assert [match.nearest for match in matches] == [f"{place}" for place in range(50)]
    assert all(match.is_duplicate for match in matches)


def test_an_old_index_stays_unverified_and_says_so(tmp_path: Path) -> None:
    add(tmp_path, "old", ["a"], turned(0))
    files = sorted(path.name for path in tmp_path.rglob("*"))
    assert "min_probability" not in (tmp_path / "index.json").read_text()
    messages: list[str] = []
    with ImageIndex.open(tmp_path, VERIFYING, verifier=ToldVerifier(), report=messages.append) as index:
        assert not index.info().verifies
        batch = index.begin("new")
        with pytest.raises(ValueError, match="takes no signatures"):
            batch.add(["b"], turned(5), signed(20))
        assert batch.add(["b"], turned(5)) == [NearestMatch("a", similarity(*turned(0, 5)), True, "a")]
        batch.commit()
    assert len(messages) == 1
    assert "without verification" in messages[0]
    assert not list(tmp_path.rglob("signature*"))
    assert sorted({path.name for path in tmp_path.rglob("*")} - set(files)) == ["segment-00000002-00000002"]


def test_without_a_verifier_it_can_be_looked_into_but_not_added_to(tmp_path: Path) -> None:
    add_told(tmp_path, "one", ["a", "b"], turned(0, 5), [20, 20])
    assert model_of(tmp_path) == VERIFYING
    for model in (VERIFYING, PLAIN):
        with ImageIndex.open(tmp_path, model) as index:
            index.rebuild()
            assert (index.info().verifies, index.info().groups) == (True, 1)
            assert index.begin("one").committed
            with pytest.raises(IndexFolderError, match=r"opened without a verifier.*embedder 'plain'"):
                index.begin("two")


def test_signatures_have_to_be_there_for_each_image(tmp_path: Path) -> None:
    with open_told(tmp_path) as index:
        batch = index.begin("one")
        with pytest.raises(ValueError, match="needs its signature"):
            batch.add(["a"], turned(0))
        with pytest.raises(ValueError, match="1 names came with 2 signatures"):
            batch.add(["a"], turned(0), signed(20, 21))


def test_versions_of_the_same_embeddings_share_an_index(tmp_path: Path) -> None:
    add_told(tmp_path, "one", ["a"], turned(0), [20])
    later = VERIFYING.model_copy(update={"version": "2", "same_embeddings_as": ("1",)})
    with open_told(tmp_path, later) as index:
        assert index.begin("two").add(["b"], turned(1), signed(20))[0].is_duplicate
    with pytest.raises(IndexFolderError, match="can't be compared"):
        open_told(tmp_path, later.model_copy(update={"same_embeddings_as": ()}))
    with pytest.raises(IndexFolderError, match=r"min probability 0.5, and 0.7 was asked for"):
        open_told(tmp_path, VERIFYING.model_copy(update={"min_probability": 0.7}))


def test_a_process_that_is_killed_while_it_commits_leaves_the_batch_out(tmp_path: Path) -> None:
    add_told(tmp_path, "kept", ["a"], turned(0), [20])
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from phototriage.verification import kept_signatures\n"
        "from tests.index.test_verified_index import open_told, signed, turned\n"
        "batch = open_told(Path(sys.argv[1])).begin('lost')\n"
        "batch.add(['b'], turned(5), signed(20))\n"
        "kept_signatures.np.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "batch.commit()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert list(tmp_path.rglob("*.part/signatures.bin"))
    with open_told(tmp_path) as index:
        assert not list(tmp_path.rglob("*.part"))
        assert index.begin("lost").add(["b"], turned(5), signed(20))[0].group == "a"


def test_damaged_or_lost_signatures_are_an_error(tmp_path: Path) -> None:
    add_told(tmp_path, "one", ["a"], turned(0), [20])
    (path,) = tmp_path.rglob("signatures.bin")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexFolderError, match=r"signatures.bin was changed or damaged"):
        open_told(tmp_path)
    path.write_bytes(content)
    text = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(text.replace('"min_probability": 0.5', '"min_probability": null'))
    with pytest.raises(IndexFolderError, match="doesn't fit the index"):
        ImageIndex.open(tmp_path, PLAIN)
