"""Where each of two photos lies in the other, in their own pixels, and how it was changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.verification.agreement import lay_over, light_of
from phototriage.verification.hypothesis import Hypothesis
from phototriage.verification.signature import Signature

Point = tuple[float, float]  # (row, column)
Row = tuple[float, float, float]
Matrix = NDArray[np.float64]

DECIMALS = 2  # of a pixel
SAME_PLACE = 0.01  # pixels; corners nearer to one another than that are one
# What `words` leaves out as too little to see.
LEAST_TURN, LEAST_RESIZING, LEAST_CONTRAST, LEAST_BRIGHTNESS = 1.0, 0.03, 0.05, 5.0

_SWAP = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])  # (column, row) ↔ (row, column)


@dataclass(frozen=True)
class Placement:
    """How A becomes B. Plain numbers alone, so that `dataclasses.asdict` of it can be written as JSON.

    Places are (row, column) in upright pixels of the photo, counted from the outer corner of its first pixel: the photo
    goes from (0, 0) to (height, width). region_of_a, region_of_b: the convex polygon of what both photos show, in each;
    the n-th corner of one is the n-th of the other. points_a, points_b: the matched points that agree, in each; none
    where the photos were laid over one another as a whole.

    affine: (2, 3), (row, column, 1) of A → (row, column) of B. In words: A is mirrored, left for right, if `mirrored`;
    then turned clockwise by `turn` degrees, in (−180, 180]; then lengths are multiplied by `scale`. What stretch and
    slant the affine map has beyond that is in none of the three. contrast, brightness: grey levels (0–255) of B are
    contrast · (those of A) + brightness, by least squares over what both show.
    """

    region_of_a: tuple[Point, ...]
    region_of_b: tuple[Point, ...]
    points_a: tuple[Point, ...]
    points_b: tuple[Point, ...]
    affine: tuple[Row, Row]
    scale: float
    turn: float
    mirrored: bool
    contrast: float
    brightness: float

    @property
    def moves(self) -> str:
        """Where A was moved, such as "mirrored, turned clockwise by 90°, resized to 52%"."""
        moves = ["mirrored"] if self.mirrored else []
        if abs(self.turn) >= LEAST_TURN:
            moves.append(f"turned {'counter-' if self.turn < 0 else ''}clockwise by {abs(self.turn):.0f}°")
        if abs(self.scale - 1) >= LEAST_RESIZING:
            moves.append(f"resized to {self.scale:.0%}")
        return ", ".join(moves) or "as it is"

    @property
    def words(self) -> str:
        """What was done to A, its grey levels included: "resized to 52%, grey levels times 0.80 + 12"."""
        if abs(self.contrast - 1) < LEAST_CONTRAST and abs(self.brightness) < LEAST_BRIGHTNESS:
            return self.moves
        sign = "+" if self.brightness >= 0 else "-"
        return f"{self.moves}, grey levels times {self.contrast:.2f} {sign} {abs(self.brightness):.0f}"


def placement_of(a: Signature, b: Signature, hypothesis: Hypothesis) -> Placement | None:
    """How A lies in B if `hypothesis` is right. None where next to nothing of it does."""
    overlay = lay_over(a, b, hypothesis)
    to_b = upright_affine(a, b, hypothesis)
    in_b = _clipped(_mapped(_frame(a), to_b), b.height, b.width)
    if overlay is None or len(in_b) < 3:
        return None
    in_a = _mapped(in_b, np.linalg.inv(to_b)).clip(0, np.array([a.width, a.height], np.float64))
    rows, columns = (_SWAP @ to_b @ _SWAP)[:2].tolist()
    light = light_of(overlay)
    return Placement(
        region_of_a=_points(in_a),
        region_of_b=_points(in_b),
        points_a=_points(_mapped(a.keypoints.points[hypothesis.inliers[:, 0]], _from_grey(a))),
        points_b=_points(_mapped(b.keypoints.points[hypothesis.inliers[:, 1]], _from_grey(b))),
        affine=((rows[0], rows[1], rows[2]), (columns[0], columns[1], columns[2])),
        scale=float(np.sqrt(abs(np.linalg.det(to_b[:2, :2])))),
        turn=_turn(to_b, hypothesis.mirrored),
        mirrored=hypothesis.mirrored,
        contrast=light.contrast,
        brightness=light.brightness,
    )


def upright_affine(a: Signature, b: Signature, hypothesis: Hypothesis) -> Matrix:
    """float64 (3, 3): (column, row, 1) of A → those of B, in upright pixels counted from the photo's outer corner."""
    between = np.vstack([hypothesis.affine, [0, 0, 1]])
    matrix: Matrix = _from_grey(b) @ between @ np.linalg.inv(_from_grey(a))
    return matrix


def _from_grey(signature: Signature) -> Matrix:
    """From pixels of the grey copy, whose centres lie at whole numbers, to the photo's."""
    height, width = signature.grey.shape
    by_column, by_row = signature.width / width, signature.height / height
    return np.array([[by_column, 0, by_column / 2], [0, by_row, by_row / 2], [0, 0, 1]])


def _frame(signature: Signature) -> Matrix:
    """Its corners (4, 2), (column, row), clockwise from the top left."""
    height, width = signature.height, signature.width
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _mapped(points: NDArray[np.floating], matrix: NDArray[np.floating]) -> Matrix:
    mapped: Matrix = points @ matrix[:2, :2].T + matrix[:2, 2]
    return mapped


def _points(places: Matrix) -> tuple[Point, ...]:
    """(column, row) → (row, column)."""
    return tuple((row, column) for column, row in places.round(DECIMALS).tolist())


def _turn(matrix: Matrix, mirrored: bool) -> float:
    """Degrees clockwise of the rotation that is nearest to `matrix`, mirrored left for right before it or not."""
    (a, b), (c, d) = matrix[:2, :2] @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    turn = float(np.degrees(np.arctan2(c - b, a + d)).round(DECIMALS))  # rows count downwards: clockwise
    return 180.0 if turn == -180 else turn + 0.0  # never −0


def _clipped(polygon: Matrix, height: int, width: int) -> Matrix:
    """The part of a convex polygon (N, 2), (column, row), inside the frame (Sutherland & Hodgman 1974); (0, 2) where
    there is none."""
    corners = list(polygon)
    for axis, bound, sign in ((0, 0, 1), (1, 0, 1), (0, width, -1), (1, height, -1)):
        kept = []
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            inside, next_inside = sign * (start[axis] - bound), sign * (end[axis] - bound)
            if inside >= 0:
                kept.append(start)
            if (inside < 0) != (next_inside < 0):
                kept.append(start + (end - start) * inside / (inside - next_inside))
        corners = kept
    distinct = [
        corner
        for corner, before in zip(corners, corners[-1:] + corners[:-1], strict=True)
        if np.abs(corner - before).max() > SAME_PLACE
    ]
    return np.array(distinct).reshape(-1, 2)
