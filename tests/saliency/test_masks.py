"""NumPy maps, masks and FeatOut patches against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import (
    disk_reach,
    featout_patches,
    featout_strength,
    gradient_mask,
    smooth_map,
    square_half_side,
    strength_mask,
    summarise,
)
from tests.featout_cases import Case, cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_featout_strength_of_hand_worked_maps(case: Case) -> None:
    np.testing.assert_allclose(featout_strength(case.smooth, case.config), case.strength, atol=1e-6)


def test_smooth_map_averages_channels_and_existing_neighbours() -> None:
    gradient = np.zeros((3, 4, 3), np.float32)
    gradient[0, 0] = (3, -6, 0)  # mean magnitude 3
    expected = np.array([[3 / 4, 3 / 6, 0, 0], [3 / 6, 3 / 9, 0, 0], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(smooth_map(gradient), expected, rtol=1e-6)


def test_smooth_map_of_one_pixel_is_that_pixel() -> None:
    np.testing.assert_allclose(smooth_map(np.full((1, 1, 3), -2, np.float32)), [[2]])


def test_gradient_mask_spans_0_to_255_linearly() -> None:
    mask = gradient_mask(np.array([[1, 2], [3, 5]], np.float32))
    assert mask.tolist() == [[0, 64], [128, 255]]


@pytest.mark.parametrize("value", [0.0, 7.0, math.nan, math.inf])
def test_gradient_mask_of_a_flat_map_is_zero(value: float) -> None:
    assert gradient_mask(np.full((4, 4), value, np.float32)).max() == 0


def test_patches_carry_centre_radius_and_intensity() -> None:
    smooth = np.zeros((20, 20), np.float32)
    smooth[4, 5], smooth[15, 12] = 8.0, 2.0
    config = FeatOutConfig(patches=2, exclusion_share=0.1, removal_share=0.3)
    first, second = featout_patches(smooth, config)
    r_max = math.sqrt(0.3 * 400 / (2 * math.pi))
    assert (first.row, first.column, first.intensity) == (4, 5, 1.0)
    assert (second.row, second.column, second.intensity) == (15, 12, 0.25)
    assert first.radius == pytest.approx(r_max)
    assert second.radius == pytest.approx(r_max / 4)


@pytest.mark.parametrize("patches", [1, 2, 3, 5, 8, 13, 40])
def test_removed_area_keeps_its_bound_for_any_number_of_patches(patches: int) -> None:
    rng = np.random.default_rng(patches)
    smooth = 1 - 1e-3 * rng.random((60, 80), np.float32)  # nearly equal intensities: the most that can go
    config = FeatOutConfig(patches=patches, removal_share=0.35)
    share = (featout_strength(smooth, config) > 0).mean()
    assert share <= 0.35
    # 60×80·.35 / n in disks of a whole number of lattice shells, which overlap at most a little: never a small
    # fraction of the bound, as in the published code, where n = 10 removes a fifth of what n = 2 does.
    assert share >= 0.15


def test_disk_reach_never_exceeds_the_area() -> None:
    for radius in np.linspace(0, 12, 241):
        rows, columns = np.ogrid[-14:15, -14:15]
        assert (rows**2 + columns**2 <= disk_reach(float(radius))).sum() <= math.pi * radius**2 * (1 + 1e-9)


@pytest.mark.parametrize(("radius", "reach"), [(0.5, -1), (0.6, 0), (1.0, 0), (1.3, 1), (2.3, 4)])
def test_disk_reach_by_hand(radius: float, reach: int) -> None:
    assert disk_reach(radius) == reach


def test_the_single_square_is_9_of_28_pixels() -> None:
    assert square_half_side(28, 28, FeatOutConfig(variant="single")) == 4


def test_strength_mask_rounds_to_bytes() -> None:
    assert strength_mask(np.array([[0, 0.5, 1]], np.float32)).tolist() == [[0, 128, 255]]


def test_summary_of_one_bright_pixel() -> None:
    smooth = np.zeros((10, 10), np.float32)
    smooth[3, 3] = 5
    summary = summarise(smooth)
    assert summary.entropy == 0
    assert summary.gini == pytest.approx(0.99)
    assert summary.top_tenth_share == pytest.approx(1)


def test_summary_of_two_levels_by_hand() -> None:
    smooth = np.full((10, 10), 1, np.float32)
    smooth[0] = 9  # a tenth of the pixels holds 90 of 180
    summary = summarise(smooth)
    assert summary.top_tenth_share == pytest.approx(0.5, abs=1e-4)
    assert summary.gini == pytest.approx(0.4, abs=1e-4)
    expected = -(10 * 0.05 * math.log(0.05) + 90 * (0.5 / 90) * math.log(0.5 / 90)) / math.log(100)
    assert summary.entropy == pytest.approx(expected)


def test_summary_of_a_flat_map_is_even() -> None:
    assert summarise(np.ones((4, 4), np.float32)).gini == 0
