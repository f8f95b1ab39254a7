"""The content of an image inside plain borders: letterboxes, a photo on a page, a product on white, a phone's screen.

A side is plain where its outermost pixels are nearly of one colour. Pixels unlike the colours of the plain sides are
ink. Rows and columns without ink divide the image, by turns, into ever smaller blocks; the one with the most ink is
followed. If it is a filled rectangle with straight sides, it is taken for a photo, whatever ink there is beside it;
else all the ink is the content, if every side of the image is plain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phototriage.images.box import Box
from phototriage.images.resampling import resample
from phototriage.images.upright import Upright

SIDE = 256  # of the copy that is looked at, the longer side: finer than that isn't needed, coarser misses edges
_RING = 2  # outermost pixels that say whether a side is plain
_TOLERANCE = 12  # levels from the ground's colour; JPEG noise and slight gradients stay below
_PLAIN_SHARE = 0.92  # of a side's pixels, near their median
_NOISE_SHARE = 0.02  # of a row's pixels that may be ink without the row's being content
_FILL, _EDGE = 0.8, 0.6  # a photo's shares of ink: in its box, and along each of its sides
_BLUR = 6  # how far a JPEG may smear a photo's colours over its ground
_OUTSIDE = 0.4  # the most ink along a photo's sides, just outside: a product's outline is no photo's side
_BESIDE = 0.5  # rows with less than this share of the fullest row's ink are beside the photo, in a second try
_MIN_SIDE = 10  # of the content, in the copy's pixels
_MAX_SHARE = 0.95  # of the image; where more is content, there is nothing to trim
_MAX_DEPTH = 3  # a photo with a border on a page, on a screen

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_Window = tuple[int, int, int, int]  # top, left, bottom, right, in whole pixels


def content_box(upright: Upright) -> Box | None:
    """The content in the image's own pixels, or None where there is nothing to trim."""
    scale = min(1.0, SIDE / max(upright.height, upright.width))
    rows, columns = max(1, round(upright.height * scale)), max(1, round(upright.width * scale))
    whole = upright.part(Box(0.0, 0.0, float(upright.height), float(upright.width)))
    small = np.asarray(resample(upright.image, whole, rows, columns, "box"))
    box = find_content(small)
    if box is None:
        return None
    by_row, by_column = upright.height / rows, upright.width / columns
    return Box(box.top * by_row, box.left * by_column, box.bottom * by_row, box.right * by_column)


def find_content(pixels: Pixels) -> Box | None:
    """Of a small copy, uint8 (H, W) or (H, W, 3), in its pixels; None where there is nothing to trim, or nothing else.

    Meant for `SIDE` pixels on the longer side: tolerances are in pixels of such a copy.
    """
    height, width = pixels.shape[:2]
    top, left, bottom, right = 0, 0, height, width
    for depth in range(_MAX_DEPTH):
        inner = _inside(pixels[top:bottom, left:right], photos_only=depth > 0)
        if inner is None:
            break
        top, left, bottom, right = top + inner[0], left + inner[1], top + inner[2], left + inner[3]
    if (bottom - top) * (right - left) > _MAX_SHARE * height * width:
        return None
    return Box(float(top), float(left), float(bottom), float(right))


def _inside(pixels: Pixels, *, photos_only: bool) -> _Window | None:
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SIDE:
        return None
    sides = [pixels[:_RING], pixels[-_RING:], pixels[:, :_RING], pixels[:, -_RING:]]
    grounds = [ground for side in sides if (ground := _plain(side)) is not None]
    if not grounds:
        return None
    ink = _ink(pixels, grounds)
    all_ink = _extent(ink, (0, 0, height, width))
    if all_ink is None:
        return None
    for share in (0.0, _BESIDE) if len(grounds) == 4 else (0.0,):
        photo = _photo(ink, _densest(ink, all_ink, share))
        if photo is not None and (share == 0 or _stands_out(ink, photo)):
            return photo
    if len(grounds) < 4 or photos_only or min(all_ink[2] - all_ink[0], all_ink[3] - all_ink[1]) < _MIN_SIDE:
        return None
    return all_ink


def _plain(side: Pixels) -> Pixels | None:
    """A side's colour, (1,) or (3,), or None if it isn't of one colour."""
    values = side.reshape(-1, *side.shape[2:]).astype(np.int16)
    values = values.reshape(len(values), -1)
    colour = np.median(values, axis=0)
    near = (np.abs(values - colour) <= _TOLERANCE).all(axis=1)
    return colour.astype(np.uint8) if near.mean() >= _PLAIN_SHARE else None


def _ink(pixels: Pixels, grounds: list[Pixels]) -> Mask:
    """Which pixels are unlike every one of the colours, (H, W)."""
    planes = [np.ascontiguousarray(pixels[..., i]) for i in range(3)] if pixels.ndim == 3 else [pixels]
    ink = np.ones(pixels.shape[:2], np.bool_)
    for ground in {tuple(int(value) for value in ground) for ground in grounds}:
        unlike = np.zeros(pixels.shape[:2], np.bool_)
        for plane, value in zip(planes, ground, strict=True):
            low, high = max(0, value - _TOLERANCE), min(255, value + _TOLERANCE)
            unlike |= plane - np.uint8(low) > high - low  # below `low` it wraps around
        ink &= unlike
    return ink


def _extent(ink: Mask, window: _Window) -> _Window | None:
    """The rows and columns of the window that have ink, from the first to the last."""
    top, left, bottom, right = window
    part = ink[top:bottom, left:right]
    rows = np.flatnonzero(np.count_nonzero(part, axis=1) > _NOISE_SHARE * (right - left))
    columns = np.flatnonzero(np.count_nonzero(part, axis=0) > _NOISE_SHARE * (bottom - top))
    if not len(rows) or not len(columns):
        return None
    return top + int(rows[0]), left + int(columns[0]), top + int(rows[-1]) + 1, left + int(columns[-1]) + 1


def _densest(ink: Mask, window: _Window, share: float) -> _Window:
    """The block with the most ink, cut by rows and columns in turn until neither divides it."""
    while True:
        top, left, bottom, right = window
        start, stop = _heaviest(np.count_nonzero(ink[top:bottom, left:right], axis=1), right - left, share)
        top, bottom = top + start, top + stop
        start, stop = _heaviest(np.count_nonzero(ink[top:bottom, left:right], axis=0), bottom - top, share)
        smaller = (top, left + start, bottom, left + stop)
        if smaller == window:
            return window
        window = smaller


def _heaviest(profile: NDArray[np.intp], length: int, share: float) -> tuple[int, int]:
    """Of the runs of rows (or columns) with ink, `length` pixels each: the one with the most ink. Rows with a smaller
    share of the fullest row's ink count as empty."""
    least = max(_NOISE_SHARE * length, share * float(profile.max()))
    filled = np.concatenate(([False], profile > least, [False]))
    steps = np.flatnonzero(filled[1:] != filled[:-1])
    if not len(steps):
        return 0, len(profile)
    starts, stops = steps[::2], steps[1::2]
    sums = np.concatenate(([0], np.cumsum(profile)))
    best = int(np.argmax(sums[stops] - sums[starts]))
    return int(starts[best]), int(stops[best])


def _photo(ink: Mask, window: _Window) -> _Window | None:
    """The window, less what is smeared around it, if ink fills it and reaches along all of its sides."""
    top, left, bottom, right = window
    reach = _BLUR if min(bottom - top, right - left) >= _MIN_SIDE + 2 * _BLUR else 1
    rows = np.count_nonzero(ink[top:bottom, left + reach : right - reach], axis=1)
    columns = np.count_nonzero(ink[top + reach : bottom - reach, left:right], axis=0)
    rows_full = rows >= _EDGE * (right - left - 2 * reach)
    columns_full = columns >= _EDGE * (bottom - top - 2 * reach)
    ends = []
    for full in (rows_full, rows_full[::-1], columns_full, columns_full[::-1]):
        first = int(np.argmax(full))
        if not full[first] or first > reach:
            return None
        ends.append(first)
    top, bottom, left, right = top + ends[0], bottom - ends[1], left + ends[2], right - ends[3]
    part = ink[top:bottom, left:right]
    if min(part.shape) < _MIN_SIDE or np.count_nonzero(part) < _FILL * part.size:
        return None
    return top, left, bottom, right


def _stands_out(ink: Mask, window: _Window) -> bool:
    """Whether ink ends along the sides of the window, instead of becoming less, as a product's does."""
    top, left, bottom, right = window
    height, width = ink.shape
    lines = [ink[max(0, top - _BLUR), left:right]] * (top > 0)
    lines += [ink[min(height - 1, bottom + _BLUR - 1), left:right]] * (bottom < height)
    lines += [ink[top:bottom, max(0, left - _BLUR)]] * (left > 0)
    lines += [ink[top:bottom, min(width - 1, right + _BLUR - 1)]] * (right < width)
    return all(np.count_nonzero(line) <= _OUTSIDE * len(line) for line in lines)
