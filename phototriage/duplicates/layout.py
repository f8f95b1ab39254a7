"""Where a picture is light and dark, coarsely: a description for pairs that an embedding alone can't decide.

An embedding describes what a picture shows, wherever it stands; a perceptual hash describes where it is light and dark,
whatever it shows. Noise, small thumbnails and changed colours harm the first, but hardly the second. This is pHash with
real values instead of signs, arranged so that a mirrored picture is recognised.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

CELLS = 32  # a side: the picture is first averaged to CELLS × CELLS
FREQUENCIES = 8  # a side
DIMENSION = FREQUENCIES * FREQUENCIES
EVEN = DIMENSION // 2  # columns of even frequency: equal for a mirrored picture, whose others change their sign
TURNS = 3  # of a picture and its mirror image, beside themselves

Float = TypeVar("Float", np.float32, np.float64)
Floats = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_COSINES = np.cos(np.pi * (np.arange(CELLS) + 0.5) * np.arange(FREQUENCIES)[:, None] / CELLS).astype(np.float32)


def fits(height: int, width: int) -> bool:
    """Whether pictures of that size can be described: each side divides CELLS or is a multiple of it."""
    return all(side > 0 and (side % CELLS == 0 or CELLS % side == 0) for side in (height, width))


def describe(images: NDArray[np.uint8]) -> Floats:
    """`images` uint8 (N, H, W, C), of a size that fits, C 1 or 3 → float32 (N, DIMENSION) of length 1.

    Low frequencies of the luma's cosine transform, without its mean. Each is replaced by the root of its magnitude,
    with its sign, so that a few strong ones don't decide. Columns of even horizontal frequency come first, then the odd
    ones. A plain surface is all zero.
    """
    for axis in (1, 2):
        images = images.repeat(max(1, CELLS // images.shape[axis]), axis)
    count, height, width, channels = images.shape
    rows, columns = height // CELLS, width // CELLS
    # Rows first, in integers: a mean over both axes of the cells takes several times as long.
    sums = images.reshape(count, CELLS, rows, width * channels).sum(2, dtype=np.uint32)
    sums = sums.reshape(count, CELLS, CELLS, columns, channels).sum(3, dtype=np.uint32)
    luma = _LUMA if channels == 3 else np.ones(1, np.float32)
    cells = sums.astype(np.float32) @ luma / np.float32(rows * columns)
    spectrum = _COSINES @ cells @ _COSINES.T
    spectrum[:, 0, 0] = 0
    spectrum[np.abs(spectrum) < CELLS] = 0  # rounding errors: less than a thirtieth of a grey level
    spectrum = np.sign(spectrum) * np.sqrt(np.abs(spectrum))
    values = _arranged(spectrum)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    normalised: Floats = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return normalised


def append(embeddings: Floats, images: NDArray[np.uint8]) -> Floats:
    """Embeddings (N, D) of `images` uint8 (N, H, W, C), with their layouts as last columns: (N, D + DIMENSION)."""
    return np.hstack([embeddings, describe(images)])


def agreement(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """Row by row, for `left` and `right` (N, DIMENSION): the greater one of two cosines, that of the descriptions and
    that with one of them mirrored, (N,). Exactly 1 for equal rows, 0 if one is a plain surface."""
    # One root of the product of both squared lengths, not two roots: this makes equal rows give exactly 1.
    lengths = np.sqrt(_products(left, left) * _products(right, right))
    cosines: NDArray[Float] = np.divide(_products(left, right), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return cosines


def _products(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """Scalar products of rows, with one mirrored where that makes it greater."""
    products = left * right
    greater: NDArray[Float] = products[..., :EVEN].sum(-1) + np.abs(products[..., EVEN:].sum(-1))
    return greater


def agreements(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """(N, M): `agreement` of each row of `left` (N, DIMENSION) with each of `right` (M, DIMENSION), up to rounding."""
    table: NDArray[Float] = left[:, :EVEN] @ right[:, :EVEN].T + np.abs(left[:, EVEN:] @ right[:, EVEN:].T)
    return table


def turned(layouts: NDArray[Float]) -> NDArray[Float]:
    """Descriptions (N, DIMENSION) → (TURNS, N, DIMENSION): those of the pictures upside down (top and bottom
    exchanged), with rows and columns exchanged, and both. With their mirror images, which `agreement` takes for equal,
    and the pictures themselves these are all eight symmetries of the square.

    Exact, since it is the same cosine transform: exchanging rows and columns transposes the spectrum, and an exchange
    of top and bottom changes the sign of odd vertical frequencies.
    """
    spectrum = np.empty((len(layouts), FREQUENCIES, FREQUENCIES), layouts.dtype)
    for parity, half in enumerate((layouts[:, :EVEN], layouts[:, EVEN:])):
        spectrum[..., parity::2] = half.reshape(len(layouts), FREQUENCIES, FREQUENCIES // 2)
    signs = ((-1.0) ** np.arange(FREQUENCIES)).astype(layouts.dtype)[:, np.newaxis]
    transposed = spectrum.transpose(0, 2, 1)
    return np.stack([_arranged(each) for each in (signs * spectrum, transposed, signs * transposed)])


def symmetries(layouts: NDArray[Float]) -> NDArray[Float]:
    """Descriptions (N, DIMENSION) → (2 · (TURNS + 1), N, DIMENSION): those of all eight ways in which a picture may
    lie."""
    ways = np.concatenate([layouts[np.newaxis], turned(layouts)])
    return np.concatenate([ways, mirrored(ways)])


def mirrored(layouts: NDArray[Float]) -> NDArray[Float]:
    """Descriptions (..., DIMENSION) of the mirrored pictures."""
    return np.concatenate([layouts[..., :EVEN], -layouts[..., EVEN:]], axis=-1)


def turned_agreement(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """Row by row, the greatest `agreement` of `left` (N, DIMENSION) with `right` turned: by a quarter to either side,
    by a half, upside down or along a diagonal, (N,)."""
    greatest: NDArray[Float] = np.max([agreement(left, each) for each in turned(right)], axis=0)
    return greatest


def turned_agreements(left: NDArray[Float], right: NDArray[Float]) -> NDArray[Float]:
    """(N, M): `turned_agreement` of each row of `left` with each of `right`, up to rounding."""
    # Either side may be turned: each turn's inverse is one of them.
    greatest: NDArray[Float] = np.maximum.reduce([agreements(each, right) for each in turned(left)])
    return greatest


def _arranged(spectrum: NDArray[Float]) -> NDArray[Float]:
    """(N, FREQUENCIES, FREQUENCIES), vertical frequency first → (N, DIMENSION)."""
    parts = [spectrum[..., parity::2].reshape(len(spectrum), EVEN) for parity in (0, 1)]
    return np.concatenate(parts, axis=1)
