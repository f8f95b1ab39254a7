from __future__ import annotations

import numpy as np
import pytest

from phototriage.images.box import Box
from phototriage.images.geometry import fit, to_upright
from phototriage.images.input_config import Aspect, InputConfig


def config(aspect: Aspect, height: int = 8, width: int = 8) -> InputConfig:
    return InputConfig(height=height, width=width, colour="rgb", resize="bilinear", antialias=True, aspect=aspect)


def test_stretch_sees_all_and_fills_all() -> None:
    geometry = fit(300, 400, config("stretch", 224, 224))
    assert geometry.source == Box(0, 0, 300, 400)
    assert geometry.target == Box(0, 0, 224, 224)


def test_crop_takes_the_largest_centred_window() -> None:
    assert fit(300, 400, config("crop", 224, 224)).source == Box(0, 50, 300, 350)
    assert fit(400, 300, config("crop", 100, 200)).source == Box(125, 0, 275, 300)


def test_crop_window_may_start_inside_a_pixel() -> None:
    assert fit(3, 6, config("crop")).source == Box(0, 1.5, 3, 4.5)


def test_crop_window_is_at_least_a_pixel() -> None:
    assert fit(20_001, 1, config("crop", 8, 2048)).source == Box(10_000, 0, 10_001, 1)


def test_pad_centres_the_whole_image() -> None:
    assert fit(4, 8, config("pad")).target == Box(2, 0, 6, 8)
    assert fit(500, 375, config("pad", 224, 224)).target == Box(0, 28, 224, 196)


def test_pad_keeps_a_pixel_of_a_thin_image() -> None:
    assert fit(1, 20_000, config("pad")).target == Box(3, 0, 4, 8)


@pytest.mark.parametrize("height", range(1, 60, 7))
@pytest.mark.parametrize("width", range(1, 60, 5))
@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
def test_boxes_stay_inside(height: int, width: int, aspect: Aspect) -> None:
    geometry = fit(height, width, config(aspect, 24, 17))
    assert 0 <= geometry.source.top < geometry.source.bottom <= height
    assert 0 <= geometry.source.left < geometry.source.right <= width
    assert 0 <= geometry.target.top < geometry.target.bottom <= 24
    assert 0 <= geometry.target.left < geometry.target.right <= 17


def test_point_scales_about_pixel_centres() -> None:
    geometry = fit(16, 24, config("crop"))  # two pixels of the image to one of the input, from column 4 on
    assert geometry.point_to_upright(0, 0, 3) == (0.5, 4.5, 6)


def test_point_in_padding_lands_outside() -> None:
    assert fit(4, 8, config("pad")).point_to_upright(0, 0, 1) == (-2, 0, 1)


def test_radius_keeps_the_area_where_scales_differ() -> None:
    assert fit(8, 32, config("stretch")).point_to_upright(0, 0, 3)[2] == 6


def test_mask_of_equal_size_stays() -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    np.testing.assert_array_equal(to_upright(mask, fit(8, 8, config("stretch"))), mask)


def test_mask_is_enlarged_bilinearly() -> None:
    mask = np.tile(np.arange(0, 256, 32, dtype=np.uint8), (8, 1))
    upright = to_upright(mask, fit(8, 16, config("stretch")))
    # Column c has its centre at (c + 0.5) / 2 of the mask, whose column k, centred at k + 0.5, holds 32 k.
    expected = [0, 8, 24, 40, 56, 72, 88, 104, 120, 136, 152, 168, 184, 200, 216, 224]
    np.testing.assert_array_equal(upright, np.tile(expected, (8, 1)))


def test_mask_is_0_outside_the_window() -> None:
    upright = to_upright(np.full((8, 8), 200, np.uint8), fit(8, 11, config("crop")))
    # The window is [1.5, 9.5): it holds the centres of columns 1 (at 1.5) to 8.
    np.testing.assert_array_equal(upright, np.tile([0] + [200] * 8 + [0, 0], (8, 1)))


def test_mask_of_the_padding_is_left_out() -> None:
    mask = np.full((8, 8), 255, np.uint8)
    mask[2:6] = 7
    np.testing.assert_array_equal(to_upright(mask, fit(4, 8, config("pad"))), np.full((4, 8), 7))


def test_small_image_gets_the_masks_mean() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 200
    assert to_upright(mask, fit(1, 1, config("stretch"))).tolist() == [[100]]


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (3, 5), (37, 23), (500, 375)])
@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
def test_full_mask_covers_what_was_seen(size: tuple[int, int], aspect: Aspect) -> None:
    geometry = fit(*size, config(aspect, 24, 17))
    upright = to_upright(np.full((24, 17), 255, np.uint8), geometry)
    assert upright.shape == size
    assert set(np.unique(upright)) <= {0, 255}
    assert abs(np.count_nonzero(upright[:, size[1] // 2]) - geometry.source.height) <= 1
    assert abs(np.count_nonzero(upright[size[0] // 2]) - geometry.source.width) <= 1


def test_bright_spot_returns_to_its_place() -> None:
    geometry = fit(60, 100, config("crop", 16, 16))
    mask = np.zeros((16, 16), np.uint8)
    mask[5, 11] = 255
    row, column, _ = geometry.point_to_upright(5, 11, 1)
    rows, columns = np.nonzero(to_upright(mask, geometry) > 100)
    assert abs(rows.mean() - row) < 0.6
    assert abs(columns.mean() - column) < 0.6


def test_a_crop_never_sticks_out() -> None:
    """By no rounding: a library that resizes refuses what does."""
    square = config("crop").model_copy(update={"height": 224, "width": 224})
    for height in range(200, 1300, 7):
        for width in range(200, 1300, 3):
            source = fit(height, width, square).source
            assert 0 <= source.top < source.bottom <= height
            assert 0 <= source.left < source.right <= width
            assert source.height == height or source.width == width
