"""The layout of drawn pictures: what it keeps apart, and what it doesn't see."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.duplicates import layout
from tests.drawings import drawing

Pixels = NDArray[np.uint8]


def pixels(seed: int, side: int = 64) -> Pixels:
    """(1, side, side, 3) of a drawing."""
    return np.asarray(drawing(seed).convert("RGB").resize((side, side), Image.Resampling.LANCZOS))[np.newaxis]


def agreement(left: Pixels, right: Pixels) -> float:
    return float(layout.agreement(layout.describe(left), layout.describe(right))[0])


def wave(across: int, down: int, sign: int = 1) -> Pixels:
    """A picture of a single frequency, 8 pixels a cell."""
    places = (np.arange(256) // 8 + 0.5) * math.pi / layout.CELLS
    values = 128 + sign * 100 * np.outer(np.cos(down * places), np.cos(across * places))
    return values.round().astype(np.uint8)[np.newaxis, :, :, np.newaxis]


@pytest.mark.parametrize(("across", "down", "column"), [(0, 1, 4), (2, 0, 1), (6, 7, 31), (1, 0, 32), (7, 7, 63)])
def test_a_wave_is_in_its_own_column(across: int, down: int, column: int) -> None:
    # Even ones first, a row of four for each frequency down, then the odd ones.
    described = layout.describe(wave(across, down))[0]
    assert described[column] ** 2 > 0.9
    assert np.argmax(np.abs(described)) == column


def test_a_plain_surface_has_none() -> None:
    images = np.stack([np.full((64, 32, 3), value, np.uint8) for value in (0, 77, 255)])
    assert (layout.describe(images) == 0).all()
    assert (layout.agreement(layout.describe(images), layout.describe(images)) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_others_have_length_1_alone_and_in_a_batch(seed: int) -> None:
    batch = np.concatenate([pixels(seed), pixels(seed + 1), pixels(seed + 2)])
    described = layout.describe(batch)
    assert described.dtype == np.float32
    assert described.shape == (3, layout.DIMENSION)
    assert np.linalg.norm(described, axis=1) == pytest.approx(1, abs=1e-6)
    assert described[1:2] == pytest.approx(layout.describe(batch[1:2]), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_and_toned_pictures_agree_and_others_do_not(seed: int) -> None:
    image = pixels(seed)
    assert agreement(image, image[:, :, ::-1]) == pytest.approx(1, abs=1e-4)
    toned = (image * 0.6 + 20).round().astype(np.uint8)
    assert agreement(image, toned) > 0.97
    assert agreement(image, pixels(seed + 100)) < 0.7
    assert agreement(image, image[:, ::-1]) < 0.9


def test_turning_light_and_dark_round_is_no_mirroring() -> None:
    assert agreement(wave(2, 1), wave(2, 1, -1)) < -0.9
    # Of a picture that has odd frequencies alone, the negative is the mirror image.
    assert agreement(wave(1, 2), wave(1, 2, -1)) > 0.9


def test_noise_is_not_seen() -> None:
    image = pixels(3, 224)
    noise = np.random.default_rng(0).normal(0, 25, image.shape)
    assert agreement(image, (image + noise).clip(0, 255).astype(np.uint8)) > 0.97


def test_grey_is_as_the_same_grey_in_colour() -> None:
    grey = pixels(1)[..., :1]
    assert layout.describe(grey) == pytest.approx(layout.describe(grey.repeat(3, 3)), abs=1e-3)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 224), (96, 8)])
def test_sizes_that_fit(height: int, width: int) -> None:
    assert layout.fits(height, width)
    image = np.asarray(drawing(0).convert("RGB").resize((width, height)))[np.newaxis]
    assert layout.describe(image).shape == (1, layout.DIMENSION)


@pytest.mark.parametrize(("height", "width"), [(0, 32), (48, 32), (32, 28)])
def test_sizes_that_do_not_fit(height: int, width: int) -> None:
    assert not layout.fits(height, width)


def test_agreements_are_those_of_each_two() -> None:
    described = layout.describe(np.concatenate([pixels(seed) for seed in range(6)]))
    table = layout.agreements(described[:4], described)
    for row in range(4):
        assert table[row] == pytest.approx(layout.agreement(described[row : row + 1], described), abs=1e-6)


def test_the_numbers_that_kept_embeddings_hold() -> None:
    # They are compared with those of later releases, under a version that the weights and the decision alone make.
    grey = (np.add.outer(np.arange(64) * 2, np.arange(96) ** 2 // 60) % 256).astype(np.uint8)
    described = layout.describe(grey[np.newaxis, :, :, np.newaxis].repeat(3, 3))[0]
    expected = [0, 0.2274, -0.4566, 0.1227, -0.1177, -0.5002, -0.1204, -0.1238, 0.1187]
    assert described[[0, 1, 4, 5, 9, 32, 33, 36, 40]] == pytest.approx(expected, abs=1e-3)


SYMMETRIES: dict[str, Callable[[Pixels], Pixels]] = {
    "a quarter": lambda images: np.rot90(images, 1, (1, 2)),
    "a half": lambda images: np.rot90(images, 2, (1, 2)),
    "three quarters": lambda images: np.rot90(images, 3, (1, 2)),
    "upside down": lambda images: images[:, ::-1],
    "along one diagonal": lambda images: images.swapaxes(1, 2),
    "along the other": lambda images: np.rot90(images.swapaxes(1, 2), 2, (1, 2)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("turn", SYMMETRIES.values(), ids=SYMMETRIES)
def test_turned_pictures_agree_and_turned_others_do_not(turn: Callable[[Pixels], Pixels], seed: int) -> None:
    image = pixels(seed)
    turned = layout.describe(np.ascontiguousarray(turn(image)))
    assert layout.turned_agreement(layout.describe(image), turned) == pytest.approx(1, abs=1e-4)
    assert layout.turned_agreement(turned, layout.describe(image)) == pytest.approx(1, abs=1e-4)
    assert layout.turned_agreement(layout.describe(pixels(seed + 100)), turned)[0] < 0.9
    assert layout.agreement(layout.describe(image), turned)[0] < 0.95


def test_the_descriptions_of_turned_pictures_are_those_of_the_turned_pixels() -> None:
    image = pixels(5)
    upside_down, exchanged, both = layout.turned(layout.describe(image))
    assert upside_down == pytest.approx(layout.describe(image[:, ::-1]), abs=1e-5)
    assert exchanged == pytest.approx(layout.describe(image.swapaxes(1, 2)), abs=1e-5)
    assert both == pytest.approx(layout.describe(image.swapaxes(1, 2)[:, ::-1]), abs=1e-5)
    assert layout.turned(layout.describe(image)).shape == (layout.TURNS, 1, layout.DIMENSION)


def test_turned_agreements_are_those_of_each_two() -> None:
    described = layout.describe(np.concatenate([pixels(seed) for seed in range(6)]))
    table = layout.turned_agreements(described[:4], described)
    for row in range(4):
        repeated = described[row : row + 1].repeat(6, 0)
        assert table[row] == pytest.approx(layout.turned_agreement(repeated, described), abs=1e-6)


def test_a_plain_surface_agrees_with_nothing_turned() -> None:
    plain = layout.describe(np.full((1, 64, 64, 3), 200, np.uint8))
    assert layout.turned_agreement(plain, plain) == 0
