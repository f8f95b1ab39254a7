"""Which pairs of drawn collections are nominated."""

from __future__ import annotations

import numpy as np
import pytest

from phototriage.duplicates import layout
from phototriage.duplicates.background import beyond_common, in_common
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.duplicates.neighbours import nearest
from phototriage.duplicates.nomination import Nominated, Rule, nominate
from tests.drawings import drawing
from tests.duplicates.unit_vectors import Floats, circle

RESCORING = LayoutRescoring()


def unit(rows: Floats) -> Floats:
    vectors: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def alike_with_copies(alike: int, copies: int, seed: int = 0) -> Floats:
    """(alike + copies, 32): vectors that have much in common, and a copy of each of the first."""
    rng = np.random.default_rng(seed)
    common = 5 * np.ones(32)
    rows = common + rng.standard_normal((alike, 32))
    copied = rows[:copies] + 0.2 * rng.standard_normal((copies, 32))
    return unit(np.concatenate([rows, copied]))


def pairs(found: Nominated) -> set[tuple[int, int]]:
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_common_is_the_mean_of_the_ranks() -> None:
    similarity = np.array([[0.9, 0.5, 0.3, 0.1], [0.8, 0.6, 0.6, 0.0]])
    assert in_common(similarity, 1, 3) == pytest.approx([0.4, 0.6])
    assert in_common(similarity, 4, 9).tolist() == [0, 0]
    beyond = beyond_common(np.array([0.9]), np.array([0.4, 0.6]), np.array([0]), np.array([1]))
    assert beyond == pytest.approx([0.4])


def test_copies_among_images_that_are_all_alike() -> None:
    vectors = alike_with_copies(100, 10)
    expected = {(row, 100 + row) for row in range(10)}
    assert nearest(vectors, 1).similarity.min() > 0.9
    assert pairs(nominate(vectors, rule=Rule(beyond=0.02, similar=2))) == expected


def test_many_copies_of_one_are_nominated_by_their_similarity() -> None:
    rng = np.random.default_rng(1)
    noise = 0.05 * rng.standard_normal((60, 32))
    copies = unit((np.tile(rng.standard_normal(32), (60, 1)) + noise).astype(np.float32))
    assert nearest(copies, 1).similarity.min() > 0.95
    assert not pairs(nominate(copies, rule=Rule(similar=2)))
    found = nominate(copies)
    assert set(np.concatenate([found.first, found.second]).tolist()) == set(range(60))
    assert len(found.first) <= 8 * 60


def test_at_most_so_many_neighbours() -> None:
    found = nominate(circle(*np.linspace(0, 20, 50).tolist()), rule=Rule(nearest=3, similar=0))
    counts = np.bincount(np.concatenate([found.first, found.second]))
    assert counts.min() >= 3
    assert len(found.first) <= 3 * 50


def layouts_of(*turns: int) -> Floats:
    """A row a picture, of other embeddings: drawings 0, 1, … turned by so many quarters, and beneath each the same
    upright."""
    images = [np.asarray(drawing(seed).convert("RGB").resize((64, 64))) for seed in range(len(turns))]
    turned = [np.rot90(image, turn) for image, turn in zip(images, turns, strict=True)]
    vectors = unit(np.random.default_rng(0).standard_normal((2 * len(turns), 64)).astype(np.float32))
    return np.hstack([vectors, layout.describe(np.stack(turned + images))])


def test_turned_copies_are_nominated_by_their_layout() -> None:
    vectors = layouts_of(1, 2, 3)
    found = nominate(vectors, RESCORING, Rule(beyond=2, similar=2))
    assert pairs(found) == {(0, 3), (1, 4), (2, 5)}
    assert found.is_turned.all()
    assert not pairs(nominate(vectors, RESCORING, Rule(beyond=2, similar=2, turned=2)))
    assert not pairs(nominate(vectors[:, :64], None, Rule(beyond=2, similar=2)))


def test_upright_copies_are_not_said_to_be_turned() -> None:
    vectors = layouts_of(0, 0, 0, 0)
    found = nominate(vectors, RESCORING)
    assert {(0, 4), (1, 5), (2, 6), (3, 7)} <= pairs(found)
    assert not found.is_turned[found.second - found.first == 4].any()


@pytest.mark.parametrize("block", [7, 64])
def test_the_block_does_not_matter(block: int) -> None:
    vectors = np.hstack([alike_with_copies(90, 10), np.tile(layouts_of(1, 0, 2, 3, 1)[:, 64:], (10, 1))])
    whole, parts = nominate(vectors, RESCORING), nominate(vectors, RESCORING, block=block)
    assert len(whole.first)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one, other)
    codes = whole.first * 100 + whole.second
    assert (np.diff(codes) > 0).all()
    assert (whole.first < whole.second).all()


@pytest.mark.parametrize("count", [0, 1])
def test_none_of_none(count: int) -> None:
    assert not len(nominate(np.ones((count, 80), np.float32), RESCORING).first)
