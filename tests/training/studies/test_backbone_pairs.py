"""Ways to the embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from training.studies.backbone_pairs import Truth, decided, pair_arm


def truth_of(same: Sequence[bool], folds: Sequence[int], sides: Sequence[tuple[int, int]] = ()) -> Truth:
    count = len(same)
    return Truth(
        np.array(same),
        np.zeros(count, bool),
        np.array(["photos"] * count),
        np.arange(count),
        np.array(folds),
        np.array(sides or [(0, 0)] * count),
    )


def test_a_pair_is_judged_by_the_other_folds() -> None:
    # Fold 0 parts at .5 and fold 1 at .8, so each gets the other's threshold: one false alarm, one miss.
    similarities = np.array([0.6, 0.4, 0.9, 0.7])
    found, thresholds = decided(similarities, truth_of([True, False, True, False], [0, 0, 1, 1]), "f1")
    assert thresholds == pytest.approx([0.5, 0.8])
    assert found.tolist() == [False, False, True, True]


def test_layout_rescoring_is_taken_where_it_pays() -> None:
    rescoring = LayoutRescoring(floor=0.5, weight=0.9)
    seen = np.array([[1, 0], [0.6, 0.8], [0.7, np.sqrt(0.51)]], np.float32)
    placed = np.zeros((3, layout.DIMENSION), np.float32)
    placed[:2, 0], placed[2, 2] = 1, 1  # the first two have one layout, the third another
    truth = truth_of([True, False], [0, 1], [(0, 1), (0, 2)])
    found = pair_arm("way", seen, placed, truth, rescoring)
    assert found.similarities == pytest.approx([0.6 + 0.9 * 0.4, 0.7], abs=1e-6)
    placed[:] = placed[0]
    assert pair_arm("way", seen, placed, truth, rescoring).name == "way, no layout re-scoring"
