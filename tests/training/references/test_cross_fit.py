"""Reference networks answer for what they have not seen, and an interrupted cross-fit goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.shapes import shapes_folder
from training.data.loading import Dataset, load
from training.loop.compute import Compute
from training.references import cross_fit as module
from training.references.cross_fit import References, ReferenceSettings, halves, reference_network
from training.sources.files import DataError

SETTINGS = ReferenceSettings(size=16, epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(shapes_folder(tmp_path_factory.mktemp("shapes"), 40), progress=False)


def test_halves_are_of_about_one_size_and_keep_groups_together(shapes: Dataset) -> None:
    rows = range(len(shapes))
    half = halves(shapes, rows, 0)
    assert 0.3 < half.mean() < 0.7
    groups = [shapes.records[row].group for row in rows]
    assert all(len({h for h, g in zip(half, groups, strict=True) if g == group}) == 1 for group in set(groups))
    assert not np.array_equal(half, halves(shapes, rows, 1))


def references(shapes: Dataset, folder: Path, **changes: object) -> References:
    return References(shapes, SETTINGS.model_copy(update=changes), folder, Compute())


def test_no_network_answers_for_what_it_learned(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[int], set[int]]] = []

    def answers(self: References, learns: list[int], asked: list[int], seed: int) -> object:
        seen.append((set(learns), set(asked)))
        return np.full((len(asked), 2), len(seen), np.float32)

    monkeypatch.setattr(References, "_probabilities", answers)
    rows = list(range(5, len(shapes)))
    found = references(shapes, tmp_path).cross_fit(rows, (0, 1))
    assert found.shape == (2, len(rows), 2)
    assert len(seen) == 4
    for learned, asked in seen:
        assert not learned & asked
        assert learned | asked == set(rows)
    # Every image has the answer of the network that learned the other half.
    half = halves(shapes, rows, 1)
    assert np.array_equal(found[1, :, 0], np.where(half == 1, 3, 4))
    seen.clear()
    others = references(shapes, tmp_path).unseen(rows[20:], rows[:20], (0,))
    assert others.shape == (2, 20, 2)
    assert all(asked == set(rows[:20]) and not learned & asked for learned, asked in seen)


def test_what_was_answered_is_not_asked_again(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = range(len(shapes))
    first = references(shapes, tmp_path).cross_fit(rows, (0,))
    assert first.sum(2) == pytest.approx(np.ones((1, len(shapes))), abs=1e-5)
    assert "reference 0, " in capsys.readouterr().err
    kept = sorted(tmp_path.glob("*/answers_*.npy"))
    assert len(kept) == 2
    kept[0].unlink()
    assert np.array_equal(references(shapes, tmp_path).cross_fit(rows, (0,)), first)
    assert not capsys.readouterr().err  # from its checkpoint, without an epoch
    monkeypatch.setattr(module, "Fit", None)
    assert np.array_equal(references(shapes, tmp_path).cross_fit(rows, (0,)), first)


def test_what_was_learned_otherwise_is_learned_anew(
    shapes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(range(len(shapes)))
    one = references(shapes, tmp_path)
    one.cross_fit(rows, (0,))
    assert len(list(tmp_path.glob("reference_*"))) == 2
    capsys.readouterr()
    # The same halves, other images asked: no network learns again.
    one.unseen(rows, rows[:6], (0,))
    assert not capsys.readouterr().err
    references(shapes, tmp_path, learning_rate=1e-3).cross_fit(rows, (0,))
    assert capsys.readouterr().err.count("epoch 2/2") == 2
    one.unseen(rows[6:], rows[:6], (0,))
    assert capsys.readouterr().err.count("epoch 2/2") == 2
    assert len(list(tmp_path.glob("reference_*"))) == 6


def test_a_half_without_a_class_is_told(shapes: Dataset, tmp_path: Path) -> None:
    rows = [row for row in range(len(shapes)) if shapes.records[row].label == 0]
    with pytest.raises(DataError, match="has none of square"):
        references(shapes, tmp_path).cross_fit(rows, (0,))


def test_the_network_is_small() -> None:
    count = sum(weight.numel() for weight in reference_network(2, 0).parameters())
    assert 200_000 < count < 300_000
    one, two = (next(reference_network(2, seed).parameters()) for seed in (0, 0))
    assert torch.equal(one, two)
    assert not torch.equal(one, next(reference_network(2, 1).parameters()))
