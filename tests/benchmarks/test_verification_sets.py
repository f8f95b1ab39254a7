from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks import verification_sets
from benchmarks.kinds.image_set import ImageSet
from benchmarks.verification_sets import DRAWN, counts, cross_validated, drawn_sets, groups_of, qualities
from phototriage.verification.evidence import FEATURES
from phototriage.verification.trees import Trees
from training.drawings.kinds import TEMPLATES
from training.verification.fit import Measured, fit


def images(count: int) -> ImageSet:
    found = ImageSet("a set")
    found.add(*(Image.new("RGB", (8, 8)) for _ in range(count)))
    return found


def test_images_that_copies_connect_are_of_one_photo() -> None:
    given = images(5)
    given.same(0, 1)
    given.same(1, 2)
    given.different(2, 3)
    given.different(4, 0)
    first, second, third, fourth = groups_of(given)
    assert first == second == third != fourth


def test_drawn_pairs_are_of_one_template() -> None:
    columns = list(drawn_sets(2 * TEMPLATES))
    assert {column for column, _ in columns} == {DRAWN}
    for _, given in columns:
        original = {pair.right: pair.left for pair in given.pairs if pair.same}
        others = [pair for pair in given.pairs if not pair.same]
        assert len(others) == 2 * TEMPLATES * 2
        for pair in others:
            assert original[pair.right] != pair.left
            assert original[pair.right] % TEMPLATES == pair.left % TEMPLATES
    copies, different = 11 * 8 * 3, 11 * 8 * 2
    assert counts(columns) == f"drawn: {copies} copies, {different} others"


def test_pairs_are_judged_by_trees_that_saw_no_pair_of_their_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    same = rng.random(300) < 0.5
    features = rng.normal(size=(300, len(FEATURES)))
    features[:, 0] += 6 * same
    groups = np.array([f"{number // 10}" for number in range(300)])
    measured = Measured(features, same, np.array(["a", "b"] * 150), groups)
    fitted: list[set[str]] = []

    def noted(known: Measured) -> Trees:
        fitted.append(set(known.groups))
        return fit(known)

    monkeypatch.setattr(verification_sets, "fit", noted)
    scores = cross_validated(measured)
    assert len(fitted) == verification_sets.FOLDS
    assert all(sum(group not in known for known in fitted) == 1 for group in groups)
    assert scores[same].mean() > scores[~same].mean() + 3
    assert {column: quality.f1 > 0.95 for column, quality in qualities(measured).items()} == {"a": True, "b": True}
