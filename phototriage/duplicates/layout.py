"""Where a picture is light and dark, coarsely: layout re-scoring at a pair that an embedding alone can't settle.

An embedding says what can be seen, wherever it stands; a perceptual hash says where light and dark stand, whatever is
seen. Noise, small thumbnails and changed colours spoil the first and hardly the second. This is pHash with its values
kept instead of their signs, and arranged so that a mirrored picture is recognised.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CELLS = 32  # a side: the picture is first averaged to CELLS × CELLS
FREQUENCIES = 8  # a side
DIMENSION = FREQUENCIES * FREQUENCIES
EVEN = DIMENSION // 2  # columns that a mirrored picture shares; in the others its sign is turned

Float = TypeVar("Float", np.float32, np.float64)
Floats = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_COSINES = np.cos(np.pi * (np.arange(CELLS) + 0.5) * np.arange(FREQUENCIES)[:, None] / CELLS).astype(np.float32)


def fits(height: int, width: int) -> bool:
    """Whether pictures of that size can be described."""
    return all(side > 0 and (side % CELLS == 0 or CELLS % side == 0) for side in (height, width))


def describe(images: NDArray[np.uint8]) -> Floats:
    """`images` uint8 (N, H, W, C), of a size that fits, C 1 or 3 → float32 (N, DIMENSION) of length 1.

    Low frequencies of the luma's cosine transform without its mean, by the root of their size, so that a few strong
    ones don't decide. First those of even horizontal frequency, then the odd ones. All zero for a plain surface.
    """
    for axis in (1, 2):
        images = images.repeat(max(1, CELLS // images.shape[axis]), axis)
    count, height, width, channels = images.shape
    rows, columns = height // CELLS, width // CELLS
    # Rows first, in integers: a mean over both sides of the cells takes several times as long.
    sums = images.reshape(count, CELLS, rows, width * channels).sum(2, dtype=np.uint32)
    sums = sums.reshape(count, CELLS, CELLS, columns, channels).sum(3, dtype=np.uint32)
    luma = _LUMA if channels == 3 else np.ones(1, np.float32)
    cells = sums.astype(np.float32) @ luma / np.float32(rows * columns)
    waves = _COSINES @ cells @ _COSINES.T
    waves[:, 0, 0] = 0
    waves[np.abs(waves) < CELLS] = 0  # rounding, and less than a thirtieth of a grey level
    waves = np.sign(waves) * np.sqrt(np.abs(waves))
    values = np.concatenate([waves[..., parity::2].reshape(count, EVEN) for parity in (0, 1)], axis=1)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    found: Floats = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return found


def append(embeddings: Floats, images: NDArray[np.uint8]) -> Floats:
    """Embeddings (N, D) of `images` uint8 (N, H, W, C), with their layouts behind them: (N, D + DIMENSION)."""
    return np.hstack([embeddings, describe(images)])


def agreement(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """(N,) from (N, DIMENSION) each: the cosine of two descriptions, or with one mirrored, whichever is more. Exactly 1
    for equal rows, 0 beside a plain surface."""
    # The root of the product of squares, not the product of roots: for equal rows it is their square exactly.
    lengths = np.sqrt(_products(left, left) * _products(right, right))
    found: NDArray[Float] = np.divide(_products(left, right), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return found


def _products(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    products = left * right
    found: NDArray[Float] = products[..., :EVEN].sum(-1) + np.abs(products[..., EVEN:].sum(-1))
    return found


def agreements(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """(N, M): `agreement` of each row of `left` (N, DIMENSION) with each of `right` (M, DIMENSION), roughly."""
    found: NDArray[Float] = left[:, :EVEN] @ right[:, :EVEN].T + np.abs(left[:, EVEN:] @ right[:, EVEN:].T)
    return found
