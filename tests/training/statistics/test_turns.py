"""Calls take turns, and ratios are medians of the rounds."""

from __future__ import annotations

import numpy as np
import pytest

from training.statistics.turns import WARM_UP, measure, ratios


def test_every_call_is_made_in_every_round_and_begins_in_turn() -> None:
    made: list[str] = []
    seconds = measure({name: lambda name=name: made.append(name) for name in "abc"}, rounds=6)  # type: ignore[misc]
    assert [len(values) for values in seconds.values()] == [6, 6, 6]
    rounds = ["".join(made[i : i + 3]) for i in range(0, len(made), 3)]
    assert len(rounds) == 6 + WARM_UP
    assert rounds[WARM_UP:] == ["abc", "bca", "cab"] * 2


def test_ratios_are_medians_of_the_rounds() -> None:
    one = np.array([1.0, 2.0, 4.0])
    seconds = {"embed": one * [2, 1, 3], "raw": one, "forward": one, "classifier": one * 2}
    found = ratios(seconds, {"first": ("embed", "raw"), "second": ("forward", "classifier")})
    assert [median for median, _, _ in found.values()] == pytest.approx([2, 0.5])
