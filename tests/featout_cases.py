"""Maps whose FeatOut removal was worked out by hand; the NumPy and the torch version both have to agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.saliency.featout_config import FeatOutConfig


@dataclass(frozen=True)
class Case:
    """A smoothed map, a configuration, and the strength that must come out."""

    name: str
    smooth: NDArray[np.float32]
    config: FeatOutConfig
    strength: NDArray[np.float32]


def _peaks(height: int, width: int, peaks: dict[tuple[int, int], float]) -> NDArray[np.float32]:
    values = np.zeros((height, width), np.float32)
    for point, value in peaks.items():
        values[point] = value
    return values


def _cross(height: int, width: int, row: int, column: int, value: float) -> NDArray[np.float32]:
    """Centre and four neighbours: the lattice disk of 5 pixels."""
    values = np.zeros((height, width), np.float32)
    for r, c in ((row, column), (row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if 0 <= r < height and 0 <= c < width:
            values[r, c] = value
    return values


def share_for(area: float, height: int, width: int, patches: int) -> float:
    """The removal share that gives each full-intensity patch this area in pixels."""
    return area * patches / (height * width)


def cases() -> list[Case]:
    """Every case; sizes are small enough to draw on paper."""
    one = FeatOutConfig(patches=1, exclusion_share=0.1, removal_share=share_for(5.5, 10, 10, 1))
    two = FeatOutConfig(patches=2, exclusion_share=0.1, removal_share=share_for(5.5, 10, 10, 2))
    nine = FeatOutConfig(variant="single", square_share=9 / 100)
    square = np.zeros((10, 10), np.float32)
    square[4:7, 4:7] = 1
    corner = np.zeros((10, 10), np.float32)
    corner[0:2, 0:2] = 1
    # The second patch has 60 % of the first's intensity: strength .6, area 5.5·.36 = 1.98 px, so one pixel.
    weaker = _cross(10, 10, 2, 2, 1.0)
    weaker[7, 7] = 0.6
    # Neighbours of the maximum lie in its exclusion disk (radius √(10/2π) = 1.26) and can't be the next centre.
    beside = _peaks(10, 10, {(2, 2): 1.0, (2, 3): 0.9, (3, 2): 0.9, (7, 7): 0.6})
    # Four equal pixels on a 2×2 image: the exclusion disks (radius √(.4/4π) = .18) hold their own centre only.
    tiny = _peaks(2, 2, {(0, 0): 1.0, (0, 1): 1.0, (1, 0): 1.0, (1, 1): 0.5})
    return [
        Case("one patch in the middle", _peaks(10, 10, {(5, 5): 3.0}), one, _cross(10, 10, 5, 5, 1.0)),
        Case("a patch over the top left border", _peaks(10, 10, {(0, 0): 2.0}), one, _cross(10, 10, 0, 0, 1.0)),
        Case(
            "a patch over the bottom right border",
            _peaks(10, 10, {(9, 9): 2.0}),
            one,
            _cross(10, 10, 9, 9, 1.0),
        ),
        Case("radius and strength grow with intensity", _peaks(10, 10, {(2, 2): 1.0, (7, 7): 0.6}), two, weaker),
        Case("the next centre lies outside the exclusion disk", beside, two, weaker),
        Case(
            "a map of zeros removes nothing",
            np.zeros((10, 10), np.float32),
            two,
            np.zeros((10, 10), np.float32),
        ),
        Case(
            "a constant map removes nothing",
            np.full((10, 10), 0.5, np.float32),
            two,
            np.zeros((10, 10), np.float32),
        ),
        Case(
            "a map that isn't finite removes nothing",
            _peaks(10, 10, {(1, 1): math.inf}),
            two,
            np.zeros((10, 10), np.float32),
        ),
        Case(
            "equal maxima go in reading order",
            _peaks(10, 10, {(7, 7): 1.0, (2, 2): 1.0}),
            one,
            _cross(10, 10, 2, 2, 1.0),
        ),
        Case(
            "a tiny image never repeats a centre",
            tiny,
            FeatOutConfig(patches=4, exclusion_share=0.1, removal_share=1.0),
            _peaks(2, 2, {(0, 0): 1.0, (0, 1): 1.0, (1, 0): 1.0}),  # .5² of one pixel's area holds no pixel
        ),
        Case("a single square", _peaks(10, 10, {(5, 5): 1.0}), nine, square),
        Case("a single square over the border", _peaks(10, 10, {(0, 0): 1.0}), nine, corner),
        Case("a flat map has no square", np.ones((10, 10), np.float32), nine, np.zeros((10, 10), np.float32)),
    ]
