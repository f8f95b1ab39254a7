from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.drawings import drawing
from training.data.near_identical import Fingerprint, find_near_identical, near_pairs


def thumbnails(*images: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([Fingerprint.of(image).thumbnail for image in images])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ImageOps.mirror, id="mirrored"),
        pytest.param(lambda image: image.resize((100, 75)), id="resized"),
        pytest.param(lambda image: image.quantize(128).convert("RGB"), id="128 colours"),
        pytest.param(lambda image: ImageEnhance.Brightness(image).enhance(0.8), id="darker"),
        pytest.param(lambda image: ImageOps.mirror(image).resize((50, 50)), id="mirrored and squeezed"),
    ],
)
def test_changed_pictures_are_found(change: Callable[[Image.Image], Image.Image]) -> None:
    for seed in range(20):
        assert near_pairs(thumbnails(drawing(seed), change(drawing(seed)))) == [(0, 1)]


def test_other_pictures_are_not() -> None:
    assert near_pairs(thumbnails(*(drawing(seed) for seed in range(600)))) == []


def test_pairs_across_blocks() -> None:
    images = [drawing(seed) for seed in range(700)]
    images[690] = drawing(3, (60, 60))
    images[520] = ImageOps.mirror(drawing(600))
    assert near_pairs(thumbnails(*images)) == [(3, 690), (520, 600)]


def test_same_shape_in_another_place_is_not_a_pair() -> None:
    def dot(left: int) -> Image.Image:
        image = Image.new("RGB", (64, 64), "white")
        image.paste((200, 30, 30), (left, 20, left + 16, 36))
        return image

    assert near_pairs(thumbnails(dot(4), dot(20))) == []


def test_one_coloured_images_do_not_chain() -> None:
    noise = np.random.default_rng(0).integers(0, 3, (8, 64, 64, 3), np.uint8)
    flat = [Image.fromarray(250 + image) for image in noise]
    assert near_pairs(thumbnails(*flat, Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64)))) == []


def test_equal_pixels_need_equal_sizes_and_no_contrast() -> None:
    white = [Image.new("RGB", size, "white") for size in ((4, 2), (2, 4), (4, 2))]
    prints = [Fingerprint.of(image) for image in [*white, Image.new("L", (4, 2), 255)]]
    found = find_near_identical(prints, near=True)
    assert found.exact == ((0, 2, 3),)
    assert found.near == ()
    assert found.edges == [(0, 2), (0, 3)]


def test_exact_copies_are_compared_once() -> None:
    image, other = drawing(1), drawing(1).resize((70, 70))
    found = find_near_identical([Fingerprint.of(i) for i in (image, other, image, other)], near=True)
    assert found.exact == ((0, 2), (1, 3))
    assert found.near == ((0, 1),)
