"""Augmentation: inside the image, by the serving filter, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from tests.drawings import drawing
from training.data.augmentation import Augmentation, random_erasing

RULE = InputConfig(height=32, width=32, colour="rgb", resize="bicubic", antialias=True, aspect="stretch")
IDENTITY = Augmentation(smallest_crop=1, aspect=1, flip=False, tone=0)


def test_a_whole_crop_is_what_serving_sees() -> None:
    image = drawing(1, (80, 50))
    view = IDENTITY.view(image, RULE, np.random.default_rng(0))
    np.testing.assert_array_equal(view, resize(image, RULE).pixels)


def test_the_same_draw_gives_the_same_view() -> None:
    image = drawing(2)
    views = [Augmentation().view(image, RULE, np.random.default_rng((3, 1, 7))) for _ in range(2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert not np.array_equal(views[0], Augmentation().view(image, RULE, np.random.default_rng((3, 2, 7))))


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (300, 7), (40, 40)])
def test_crops_stay_inside_and_keep_their_share(size: tuple[int, int]) -> None:
    augmentation = Augmentation(smallest_crop=0.5)
    for seed in range(200):
        left, top, right, bottom = augmentation._crop_box(*size, np.random.default_rng(seed))
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


def test_half_of_the_views_are_mirrored() -> None:
    image = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    augmentation = Augmentation(smallest_crop=1, aspect=1, tone=0)
    rising = [
        bool(view[0, 0, 0] < view[0, -1, 0])
        for view in (augmentation.view(image, RULE, np.random.default_rng(seed)) for seed in range(200))
    ]
    assert 70 <= sum(rising) <= 130


def test_tones_keep_the_range_and_repeat() -> None:
    pixels = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    views = [Augmentation().tones(pixels, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*views)
    assert not torch.equal(views[0], pixels)
    assert views[0].min() >= 0
    assert views[0].max() <= 1


def test_no_tone_is_the_identity() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    assert torch.equal(IDENTITY.tones(pixels, torch.Generator()), pixels)


def test_random_erasing_fills_one_rectangle_of_the_stated_area_in_pixel_space() -> None:
    pixels = torch.full((200, 3, 32, 32), -1.0)  # no noise of [0, 1] equals it
    erased = random_erasing(pixels, torch.Generator().manual_seed(1))
    touched = (erased != pixels).any(1)
    shares = touched.flatten(1).float().mean(1)
    hit = shares > 0
    assert 70 <= int(hit.sum()) <= 130
    assert shares[hit].min() >= 0.015
    assert shares[hit].max() <= 0.34
    assert erased[erased != -1].min() >= 0
    assert erased.max() <= 1
    for mask in touched[hit]:
        rows, columns = mask.any(1), mask.any(0)
        assert int(mask.sum()) == int(rows.sum()) * int(columns.sum())
