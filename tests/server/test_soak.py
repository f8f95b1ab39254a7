from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress

from tests import soak
from tests.hostile_requests import PARTS
from tests.http_clients import NONE, Ask
from tests.soak import Sample, Soak, slope

SHORT = 10.0  # seconds
LOOSE = 20.0  # MB for 1000 requests: of a server that has just begun, and fills its pools still


def made_up(megabytes: list[float]) -> Soak:
    """With 10 requests a second."""
    return Soak([Sample(second, 10 * second, value) for second, value in enumerate(megabytes)])


def test_independent_residuals_give_the_textbook_interval() -> None:
    rng = np.random.default_rng(1)
    x = np.arange(200.0)
    y = 3 * x + rng.normal(0, 50, 200)
    residuals = y - np.polyval(np.polyfit(x, y, 1), x)
    assert residuals[1:] @ residuals[:-1] <= 0  # so that nothing is taken off
    book = linregress(x, y)
    found = slope(x, y)
    assert found.value == pytest.approx(book.slope)
    assert found.high - found.value == pytest.approx(1.972 * book.stderr, rel=1e-3)  # t of 198 degrees
    assert found.low < 3 < found.high


def test_intervals_hold_the_slope_of_correlated_series() -> None:
    """Of series whose every value remembers nine tenths of the one before, where the textbook's is far too narrow."""
    x, contained, contained_by_book = np.arange(400.0), 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        noise = np.array(list(itertools.accumulate(rng.normal(0, 1, 400), lambda kept, new: 0.9 * kept + new)))
        found, book = slope(x, noise), linregress(x, noise)
        contained += found.low <= 0 <= found.high
        contained_by_book += abs(book.slope) <= 1.966 * book.stderr
    assert contained >= 0.88 * 200
    assert contained_by_book < 0.6 * 200


def test_a_straight_line_has_no_interval() -> None:
    assert slope(np.arange(9.0), 100 + 2 * np.arange(9.0)) == pytest.approx((2, 2, 2))
    assert slope(np.arange(9.0), np.full(9, 7.0)) == (0, 0, 0)


def test_two_samples_tell_nothing() -> None:
    found = slope(np.arange(2.0), np.arange(2.0))
    assert (found.low, found.high) == (float("-inf"), float("inf"))


def test_a_climb_that_is_not_quite_straight_is_told_and_a_step_is_not() -> None:
    """Each residual says nearly what the one before it said."""
    x = np.arange(400.0)
    assert slope(x, x + 1e-4 * (x - 200) ** 2).low > 0
    assert slope(x, np.where(x < 200, 0.0, 1.0)).low < 0


def test_units_and_the_second_half() -> None:
    """The first half climbs, the second by 1 MB a second, which is 100 MB for 1000 requests."""
    found = made_up([50.0 * second for second in range(10)] + [500.0 + second for second in range(10)])
    assert found.by_requests == pytest.approx((100, 100, 100))
    assert found.by_time == pytest.approx((3600, 3600, 3600))


def test_what_has_failed() -> None:
    found = made_up([1.0] * 4)
    found.statuses.update({("/v1/classify", 200): 5, ("/v1/classify", 503): 1, ("/livez", NONE): 2, ("/a", 500): 1})
    assert found.failed == {("/livez", NONE): 2, ("/a", 500): 1}
    assert "| /v1/classify | 200: 5, 503: 1 |" in soak.table(found)
    assert "| /livez | none: 2 |" in soak.table(found)


def test_requests_repeat_and_are_of_every_kind() -> None:
    first, second = (list(itertools.islice(soak.asks(1), 1000)) for _ in range(2))
    assert first == second
    assert {each.path for each in first if isinstance(each, Ask)} >= {*PARTS, "/v1/models", "/metrics"}
    assert any(isinstance(each, bytes) for each in first)


def test_a_short_one(capsys: pytest.CaptureFixture[str]) -> None:
    code = soak.main(["--minutes", str(SHORT / 60), "--limit", str(LOOSE)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "limit: 20.0 MB for 1000 requests: kept" in printed
    for path in PARTS:
        assert f"| {path} | 200: " in printed


@pytest.mark.parametrize(("second", "code"), [(0.0, 0), (0.5, 1)])
def test_what_grows_is_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, models_directory: Path, second: float, code: int
) -> None:
    monkeypatch.setattr(soak, "run", lambda *_: made_up([100 + second * each for each in range(60)]))
    assert soak.main(["--minutes", "1", "--models", str(models_directory)]) == code
