from __future__ import annotations

import math

import numpy as np
import pytest

from training.statistics.intervals import over_resamples, percentiles, rate, resamples, share, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_by_published_values(right: int, n: int, low: float, high: float) -> None:
    # 81 of 263: Newcombe 1998, Statistics in Medicine 17, table I.
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_a_share_has_wilsons_interval() -> None:
    # Wilson 1927 by hand: with z² = 3.8415 and none of 10, the upper end is z² / (10 + z²).
    found = share(0, 10)
    assert found.value == found.low == 0
    assert found.high == pytest.approx(3.8415 / 13.8415, abs=1e-4)
    assert found.n == 10
    with pytest.raises(ValueError, match="no cases"):
        share(0, 0)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 3.689), (1, 0.025, 5.572), (10, 4.795, 18.390)])
def test_a_rate_has_garwoods_interval(count: int, low: float, high: float) -> None:
    # The limits of Garwood's table (Biometrika 28, 1936); scaled to a million of two million cases.
    found = rate(count, 2_000_000, 1e6)
    assert found[:3] == pytest.approx((count / 2, low / 2, high / 2), abs=5e-4)


def test_resamples_take_whole_clusters() -> None:
    clusters = np.array([7, 3, 7, 3, 3, 9])
    for rows in resamples(clusters, 50, 0):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[2]
        assert counts[1] == counts[3] == counts[4]
        assert counts[0] + counts[1] + counts[5] == 3


def test_the_same_seed_gives_the_same_resamples() -> None:
    clusters = np.arange(20) // 2
    first, again, other = (resamples(clusters, 5, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("together", [1, 4])
def test_a_mean_over_resamples_spreads_as_theory_says(together: int) -> None:
    """√(p (1 − p) / clusters), however many equal rows a cluster has."""
    rows = np.repeat(np.arange(400) % 2, together).astype(float)
    samples = resamples(np.repeat(np.arange(400), together), 4000, 0)
    found, drawn = over_resamples(lambda chosen: float(rows[chosen].mean()), len(rows), samples)
    reach = 1.96 * math.sqrt(0.25 / 400)
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=0.004)
    assert drawn.std() == pytest.approx(math.sqrt(0.25 / 400), rel=0.05)
    assert found.n == 400 * together


def test_percentiles_are_the_middle_95_in_a_hundred() -> None:
    assert percentiles(3.0, np.arange(101.0), 8)[:3] == pytest.approx((3, 2.5, 97.5))
