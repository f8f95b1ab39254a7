"""Figures of the near-duplicate table worked out by hand, and how they are printed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import duplicate_scores
from benchmarks.duplicate_report import Report, Result, markdown
from benchmarks.duplicate_scores import Column, Part, Truth, differences, headline, kinds, tuned_threshold
from benchmarks.duplicates_picture import curve, narrowed, widened
from training.pairs.labelled_pairs import HARD_NEGATIVE, SHARED
from training.statistics.intervals import Figure
from training.statistics.tables import short, signed, with_interval

# Two photos of two reposts, one hard negative and one pair under an overlay each.
KINDS = np.array(["crop", "thumbnail", HARD_NEGATIVE, SHARED] * 2)
SAME = np.array([True, True, False, False] * 2)
CLUSTERS = np.repeat(np.arange(2), 4)
GOOD = np.array([0.9, 0.8, 0.3, 0.2, 0.95, 0.4, 0.1, 0.7])


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_scores, "RESAMPLES", 50)


def part(similarities: list[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]] = GOOD) -> Part:
    return Part(Truth(SAME, KINDS, CLUSTERS, seed=0), np.asarray(similarities))


def result(name: str, similarities: np.ndarray[tuple[int, ...], np.dtype[np.float64]], threshold: float) -> Result:
    one = part(similarities)
    measured = headline(one, one, {"elsewhere": one}, threshold)
    return Result(Column(name, threshold, "by hand"), measured, {"houses, hard": kinds(one, threshold)})


def test_figures_by_hand() -> None:
    figures = headline(part(), part(), {"elsewhere": part()}, 0.5).figures
    # At .5: three reposts of four, and one false alarm.
    assert figures["everyday: F1"].value == figures["hard: F1"].value == pytest.approx(6 / 8)
    assert figures["everyday: precision"].value == figures["hard: recall"].value == 3 / 4
    # Ranked: three right, one wrong, one right.
    assert figures["hard: average precision"].value == pytest.approx((1 + 1 + 1 + 4 / 5) / 4)
    assert figures["everyday: recall at precision 0.99"].value == 3 / 4
    assert figures["different photos under one overlay called duplicates"][::3] == (2 / 4, 4)  # of both parts
    assert figures["noisy thumbnails recognised"][::3] == (1 / 2, 2)
    assert figures["elsewhere: F1 at the same threshold"].value == pytest.approx(6 / 8)
    assert figures["elsewhere: best F1 there"].value == pytest.approx(8 / 9)


def test_kinds_by_hand() -> None:
    found = kinds(part(), 0.5)
    assert list(found) == [(True, "crop"), (True, "thumbnail"), (False, HARD_NEGATIVE), (False, SHARED)]
    assert [figure.value for figure in found.values()] == [1, 0.5, 0, 0.5]


def test_the_threshold_is_that_of_all_parts_together() -> None:
    lower = part(GOOD - 0.15)
    assert tuned_threshold([part()]) == pytest.approx((0.4 + 0.3) / 2)
    # Of both, eight reposts against three others: F1 16 / 19, where .35 has 14 / 17.
    assert tuned_threshold([part(), lower]) == pytest.approx((0.25 + 0.2) / 2)


def test_differences_are_paired() -> None:
    """Equal methods differ by nothing on any sample, though both vary from sample to sample."""
    ours, theirs = (headline(part(), part(), {}, 0.5) for _ in range(2))
    assert ours.drawn["hard: F1"].std() > 0
    for figure in differences(ours, theirs).values():
        assert figure[:3] == (0, 0, 0)
    worse = headline(part(GOOD * [1, 0, 1, 1, 1, 1, 1, 1]), part(), {}, 0.5)
    assert differences(ours, worse)["everyday: F1"].value == pytest.approx(6 / 8 - 4 / 7)


@pytest.mark.parametrize(
    ("value", "text"), [(0.9684, ".968"), (1.0, "1.000"), (0.0, ".000"), (-0.0321, "-.032"), (12.0, "12.000")]
)
def test_numbers_have_three_decimals(value: float, text: str) -> None:
    assert short(value) == text


def test_intervals_are_told_apart_from_values() -> None:
    assert with_interval(Figure(0.968, 0.955, 1.0, 8)) == ".968 (.955–1.000)"
    assert signed(Figure(0.012, -0.003, 0.027, 8)) == "+.012 (−.003 to +.027)"


def test_tables_have_a_column_for_each_method_and_rows_for_all_figures() -> None:
    ours, theirs = result("ours", GOOD, 0.5), result("theirs", GOOD[::-1].copy(), 0.25)
    report = Report([ours, theirs], "ours", {"theirs": differences(ours.measured, theirs.measured)}, ["n of one run"])
    lines = markdown(report).splitlines()
    assert lines[0] == "- n of one run"
    assert "|  | n | ours | theirs |" in lines
    assert "| threshold |  | 0.5000 (by hand) | 0.2500 (by hand) |" in lines
    assert "ours minus each of the others, on the same photos:" in lines
    assert any(line.startswith("| houses, hard | no | shared overlay | 2 | .500 (") for line in lines)
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in tables} == {5, 4, 7}


def test_json_has_all_figures() -> None:
    report = Report([result("ours", GOOD, 0.5)], "ours", {}, [])
    record = json.loads(json.dumps(report.as_json()))
    assert record["columns"][0]["figures"]["everyday: F1"]["value"] == pytest.approx(0.75)
    assert len(record["columns"][0]["kinds"]) == 4


def test_the_curve_takes_equal_similarities_together() -> None:
    recall, precision = curve(part([0.9, 0.5, 0.5, 0.1, 0.5, 0.5, 0.1, 0.1]))
    assert recall == pytest.approx([1 / 4, 1, 1])
    assert precision == pytest.approx([1, 4 / 5, 4 / 8])


def test_the_axis_can_be_undone() -> None:
    shares = np.array([0, 0.5, 0.9, 0.99, 1])
    assert narrowed(widened(shares)) == pytest.approx(shares)
    assert (np.diff(widened(shares)) > 0).all()


def test_metrics_are_those_of_the_reference() -> None:
    report = Report([result("other", GOOD - 0.15, 0.4), result("mine", GOOD, 0.5)], "mine", {}, [])
    metrics = {metric.name: metric for metric in report.metrics("houses", "test")}
    assert (metrics["everyday: F1"].value, metrics["everyday: F1"].n) == (0.75, 8)
    assert metrics["houses, hard, thumbnail: recognised"].value == 0.5
    assert metrics[f"houses, hard, {SHARED}: different ones called duplicates"].value == 0.5
    assert {(metric.set, metric.split) for metric in metrics.values()} == {("houses", "test")}
    assert all(metric.interval is not None for metric in metrics.values())
