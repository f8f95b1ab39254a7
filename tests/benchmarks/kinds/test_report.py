from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.kinds.figures import Decided
from benchmarks.kinds.image_set import ImageSet
from benchmarks.kinds.report import as_json, markdown, metrics
from benchmarks.kinds.sheet import CELL, sample, save_mistakes, stacked, worst
from training.statistics.intervals import share


def squares() -> ImageSet:
    """Four images; 2 and 3 are copies of 0, and 1 is another."""
    found = ImageSet("squares")
    found.add(*(Image.new("RGB", (30, 20), colour) for colour in ("red", "blue", "maroon", "salmon")))
    found.same(0, 2, "darker")
    found.same(0, 3, "lighter")
    found.different(0, 1)
    found.different(1, 2)
    return found


def decided(scores: list[float], threshold: float = 0.5) -> Decided:
    values = np.array(scores)
    return Decided("squares", squares().pairs, {"served": values >= threshold}, {"served": values})


def test_figures_of_four_pairs() -> None:
    one = decided([0.9, 0.2, 0.6, 0.1])
    assert one.missed("served") == share(1, 2)
    assert one.false("served") == share(1, 2)
    assert one.missed("served", "darker") == share(0, 1)
    assert one.false("served", "darker") is None
    assert one.average_precision("served") == pytest.approx((1 + 2 / 3) / 2)
    assert one.recall_without_error("served") == 0.5


def test_without_copies_there_is_no_precision() -> None:
    blank = ImageSet("blank")
    blank.all_different(blank.add(*[Image.new("RGB", (8, 8))] * 3))
    one = Decided("blank", blank.pairs, {"served": np.zeros(3, bool)}, {"served": np.zeros(3)})
    assert (one.missed("served"), one.average_precision("served"), one.recall_without_error("served")) == (None,) * 3


def test_pairs_are_drawn_within_groups() -> None:
    found = ImageSet("some")
    places = found.add(*[Image.new("RGB", (8, 8))] * 6)
    found.all_different(places, ["a", "a", "b", "b", "b", "c"])
    assert {(pair.left, pair.right) for pair in found.pairs} == {(0, 1), (2, 3), (2, 4), (3, 4)}
    found.pairs.clear()
    found.all_different(places, most=7, seed=1)
    assert len(set(found.pairs)) == 7


def test_tables_and_json_say_the_same() -> None:
    one = decided([0.9, 0.2, 0.6, 0.1])
    printed = markdown([one], ["a note"])
    assert "| squares | 2 | .500 (.095–.905) |" in printed
    assert "| squares | 2 · 2 | .833 |" in printed
    assert "| squares | lighter | 1 · – | 100.0% · – |" in printed
    figures = as_json([one], ["a note"])["sets"][0]["deciders"]["served"]
    assert (figures["missed"]["value"], figures["average_precision"]) == (0.5, pytest.approx(5 / 6))
    assert figures["kinds"]["other"]["false"]["n"] == 2


def test_metrics_are_of_what_is_served() -> None:
    found = {metric.name: metric for metric in metrics([decided([0.9, 0.2, 0.6, 0.1])], "drawings", "val")}
    assert set(found) == {"squares: missed", "squares: different ones called duplicates"}
    assert (found["squares: missed"].value, found["squares: missed"].split) == (0.5, "val")


def test_the_worst_come_first(tmp_path: Path) -> None:
    one = decided([0.4, 0.2, 0.6, 0.9])
    assert worst(one, "served") == [3, 2, 1, 0]
    save_mistakes(squares(), one, ["served"], tmp_path)
    with Image.open(tmp_path / "squares_served.png") as picture:
        assert picture.height > CELL
    save_mistakes(squares(), decided([0.9, 0.8, 0.1, 0.1]), ["served"], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_sample_shows_copies_and_others() -> None:
    row = sample(squares())
    colours = {colour for _, colour in row.getcolors(1 << 16) or []}
    assert colours >= {(255, 0, 0), (0, 0, 255), (128, 0, 0), (250, 128, 114)}
    assert stacked([row, row]).size == (row.width, 2 * row.height)
