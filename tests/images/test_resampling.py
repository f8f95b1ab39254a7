"""The fast kernels beside Pillow's, and both beside the sum that they stand for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from phototriage.images import resampling
from phototriage.images.box import Box
from phototriage.images.geometry import fit
from phototriage.images.input_config import InputConfig
from phototriage.images.resampling import resample
from tests.drawings import drawing

KERNELS = ["box", "bilinear", "hamming", "bicubic", "lanczos"]
fast = pytest.mark.skipif(not resampling.IS_FAST, reason="fast_image_resize has no wheel here")


def by_pillow(image: Image.Image, box: Box, rows: int, columns: int, kernel: str) -> NDArray[np.int64]:
    edges = (box.left, box.top, box.right, box.bottom)
    return np.asarray(image.resize((columns, rows), Image.Resampling[kernel.upper()], edges)).astype(np.int64)


def bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys, 1981, with a = -1/2."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.select([x < 1, x < 2], [near, far], 0.0)


def weights(size: int, start: float, stop: float, count: int) -> NDArray[np.float64]:
    """(count, size): the kernel about each output's centre, widened by the scale, its sum made 1."""
    scale = (stop - start) / count
    centres = start + (np.arange(count) + 0.5) * scale
    weights = bicubic((np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1.0))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [24, 224])
def test_agrees_with_pillow(kernel: str, mode: str, size: int) -> None:
    image, box = drawing(3).convert(mode), Box(2.3, 0, 47.013, 64)
    resampled = np.asarray(resample(image, box, size, size + 8, kernel)).astype(np.int64)
    difference = np.abs(resampled - by_pillow(image, box, size, size + 8, kernel))
    # Kernels with negative parts overshoot beside hard edges, and either cuts that off between its two passes.
    assert difference.max() <= (12 if kernel in ("bicubic", "lanczos") else 1)
    assert difference.mean() < 0.5


@fast
def test_is_the_sum_over_the_kernel() -> None:
    noise = np.random.default_rng(0).integers(60, 190, (45, 71), dtype=np.uint8)  # nothing overshoots 0 or 255
    box = Box(1.5, 0, 44.0, 71)
    resampled = np.asarray(resample(Image.fromarray(noise), box, 20, 33, "bicubic"))
    by_rows = weights(45, box.top, box.bottom, 20) @ noise.astype(np.float64)
    expected = by_rows @ weights(71, box.left, box.right, 33).T
    assert np.abs(resampled - expected).max() < 1.2


@fast
@pytest.mark.parametrize("kernel", ["box", "bilinear", "bicubic", "lanczos"])
def test_is_the_same_on_every_processor(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import cykooz_resizer

    resizer = cykooz_resizer.Resizer
    image, resampled = drawing(5).convert("RGB"), []
    for extension in (cykooz_resizer.CpuExtensions.none, resizer().cpu_extensions):

        def made(extension: object = extension) -> object:
            one = resizer()
            one.cpu_extensions = extension
            return one

        with monkeypatch.context() as patch:
            patch.setattr(cykooz_resizer, "Resizer", made)
            resampled.append(np.asarray(resample(image, Box(0.5, 0, 47, 64), 37, 50, kernel)))
    np.testing.assert_array_equal(resampled[0], resampled[1])


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    part=st.tuples(*[st.floats(0, 1)] * 4),
    to=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    kernel=st.sampled_from(KERNELS),
)
def test_any_box_of_any_image(
    size: tuple[int, int], part: tuple[float, float, float, float], to: tuple[int, int], kernel: str
) -> None:
    """A flat image stays flat, and no rounding of an edge makes it fail."""
    height, width = size
    top, left = part[0] * (height - 1), part[1] * (width - 1)
    box = Box(top, left, top + 1 + part[2] * (height - 1 - top), left + 1 + part[3] * (width - 1 - left))
    box = Box(top, left, min(box.bottom, height), min(box.right, width))
    resampled = resample(Image.new("RGB", (width, height), (10, 130, 250)), box, *to, kernel)
    assert resampled.size == (to[1], to[0])
    assert set(resampled.get_flattened_data()) == {(10, 130, 250)}


STAYS_SMALL = """
import resource, sys
from PIL import Image
from phototriage.images import resampling
from phototriage.images.box import Box
from phototriage.images.resampling import resample
width, height = map(int, sys.argv[1:3])
image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resampled = resample(image, Box(0, 0, height, width), 2_000, 2_000, sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
assert resampled.getpixel((1_000, 1_000))[0] in range(126, 130)
"""


@pytest.mark.parametrize("kernel", ["bicubic", "hamming"])
@pytest.mark.parametrize("size", [(4, 65_000), (65_000, 4)])
def test_what_lies_between_stays_small(kernel: str, size: tuple[int, int]) -> None:
    """With the wrong axis first, 65,000 × 2,000 pixels lie between: half a gigabyte."""
    command = [sys.executable, "-c", STAYS_SMALL, *map(str, size), kernel]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 100_000  # KB; the result takes 16,000


@fast
def test_without_the_fast_kernels_pillow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "IS_FAST", False)
    image, box = drawing(1).convert("RGB"), Box(0, 0, 48, 60)
    np.testing.assert_array_equal(resample(image, box, 30, 40, "bicubic"), by_pillow(image, box, 30, 40, "bicubic"))


@pytest.mark.parametrize(("size", "to"), [((1131, 4), (17, 256)), ((127, 32), (43, 44))])
def test_an_output_whose_centre_is_a_pixels(size: tuple[int, int], to: tuple[int, int]) -> None:
    """Enlarged, cropped at the sides: fast_image_resize reads before its memory there, and the process ends."""
    image = drawing(2, size)
    config = InputConfig(height=to[0], width=to[1], colour="rgb", resize="bicubic", antialias=True, aspect="crop")
    box = fit(image.height, image.width, config).source
    assert box.left > 0
    np.testing.assert_array_equal(
        np.asarray(resample(image, box, *to, "bicubic")), by_pillow(image, box, *to, "bicubic")
    )
