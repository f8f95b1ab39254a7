"""The picture of what verification saw: its size, and that marks stand where they belong."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.verification.evidence import verify
from phototriage.verification.panels import GROUND
from phototriage.verification.picture import LEAST_WIDTH, MARGIN, MOST_LINES, OUTLINES, PHOTOS_WIDTH, draw, png, spread
from phototriage.verification.signature import Signature, signature_of
from tests.verification.photos import drawn_photo

Pixels = NDArray[np.uint8]
PHOTO = drawn_photo(3, 300, 400)
TOP, LEFT, BOTTOM, RIGHT = 60, 100, 260, 340  # of a crop
TITLE_HEIGHT = 24  # pixels above a photo


def signed(pixels: Pixels) -> tuple[Image.Image, Signature]:
    pixels = np.ascontiguousarray(pixels)
    return Image.fromarray(pixels), signature_of(pixels)


def picture(left: Pixels, right: Pixels, is_same: bool | None = None, caption: str = "") -> Image.Image:
    (a, a_signature), (b, b_signature) = signed(left), signed(right)
    return draw(a, b, a_signature, b_signature, verify(a_signature, b_signature), caption, is_same)


def has_colour(image: Image.Image, column: float, row: float, colour: tuple[int, int, int]) -> bool:
    """Within two pixels of there."""
    near = np.asarray(image, np.int64)[round(row) - 2 : round(row) + 3, round(column) - 2 : round(column) + 3]
    return bool((np.abs(near - colour).max(axis=2) < 40).any())


def test_a_crop_is_outlined_where_it_was_cut_and_the_rest_is_veiled() -> None:
    drawn = picture(PHOTO, PHOTO[TOP:BOTTOM, LEFT:RIGHT], is_same=True)
    scale = 480 / 300  # both photos are 480 pixels high
    top, left = MARGIN + TITLE_HEIGHT, MARGIN
    rows = [top + scale * (TOP + (BOTTOM - TOP) * share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    edges = [(left + scale * column, row) for column in (LEFT, RIGHT) for row in rows]
    # A line between points that match may cover the outline here and there.
    assert sum(has_colour(drawn, *edge, OUTLINES[True]) for edge in edges) >= 8
    assert not has_colour(drawn, left + scale * 30, rows[2], OUTLINES[True])
    outside = np.asarray(drawn, np.int64)[top + 2 : top + 90, left + 2 : left + 600]
    photo = Image.fromarray(PHOTO).resize((640, 480))
    plain = np.asarray(photo, np.int64)[2:90, 2:600]
    assert np.abs(outside - GROUND).mean() == pytest.approx(np.abs(plain - GROUND).mean() * 90 / 255, rel=0.05)


@pytest.mark.parametrize("is_same", [True, False, None])
def test_the_outline_shows_the_decision(is_same: bool | None) -> None:
    drawn = picture(PHOTO, PHOTO, is_same)
    for each, colour in OUTLINES.items():
        assert has_colour(drawn, MARGIN, MARGIN + TITLE_HEIGHT + 240, colour) is (each == is_same)


def test_what_disagrees_is_red_below() -> None:
    page = drawn_photo(7, 400, 400)
    left, right = page.copy(), page.copy()
    left[100:300, 100:300], right[100:300, 100:300] = drawn_photo(5, 200, 200), drawn_photo(6, 200, 200)
    last = np.asarray(picture(left, right), np.int64)[MARGIN + TITLE_HEIGHT + 480 :, 2 * (MARGIN + 300) :]
    rows, columns = np.nonzero(last[..., 0] - last[..., 1] > 60)
    assert rows.size > 0.15 * 300 * 300
    same = np.asarray(picture(page, page), np.int64)[MARGIN + TITLE_HEIGHT + 480 :, 2 * (MARGIN + 300) :]
    assert (same[..., 0] - same[..., 1]).max() < 60
    # 300 pixels high, like the page's 400: its middle half, with a window's edge.
    assert 120 < np.ptp(rows) < 190
    assert 120 < np.ptp(columns) < 190


def test_the_same_input_gives_the_same_file() -> None:
    files = [png(picture(PHOTO, PHOTO[:, ::-1], caption="duplicate, probability 0.998")) for _ in range(2)]
    assert files[0] == files[1]
    with Image.open(io.BytesIO(files[0])) as image:
        assert image.mode == "RGB"
        assert image.width <= PHOTOS_WIDTH + 2 * MARGIN


def test_without_evidence_both_photos_are_shown_alone() -> None:
    (a, a_signature), (b, b_signature) = signed(PHOTO), signed(drawn_photo(4, 300, 200))
    drawn = draw(a, b, a_signature, b_signature, None)
    assert drawn.size == (20 + 640 + 20 + 320 + 20, 20 + 24 + 480 + 20 + 22 + 20)  # a title above, a line below
    shown = np.asarray(drawn, np.int64)[44:524, 20:660]
    assert np.abs(shown - np.asarray(a.resize((640, 480), Image.Resampling.LANCZOS), np.int64)).mean() < 3
    assert (np.asarray(drawn, np.int64)[544:566, :400].min(axis=2) < 150).any()  # the line that says so


def test_a_reduced_or_grey_photo_is_marked_at_the_same_places() -> None:
    a_signature, b_signature = signature_of(PHOTO), signature_of(np.ascontiguousarray(PHOTO[TOP:BOTTOM, LEFT:RIGHT]))
    evidence = verify(a_signature, b_signature)
    kept = [Image.fromarray(each.grey) for each in (a_signature, b_signature)]
    drawn = draw(kept[0], kept[1], a_signature, b_signature, evidence, is_same=True)
    assert drawn.size == picture(PHOTO, PHOTO[TOP:BOTTOM, LEFT:RIGHT]).size
    assert has_colour(drawn, MARGIN + 1.6 * LEFT, MARGIN + TITLE_HEIGHT + 1.6 * (BOTTOM - 5), OUTLINES[True])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((20, 400), (300, 400)),
        ((20, 400), (20, 400)),
        ((300, 15), (300, 400)),
        ((10, 10), (8, 10)),
        ((1, 400), (300, 1)),
    ],
)
def test_odd_proportions_and_tiny_images_are_drawn(left: tuple[int, int], right: tuple[int, int]) -> None:
    drawn = picture(PHOTO[: left[0], : left[1]], PHOTO[: right[0], : right[1]], caption="not a duplicate " * 20)
    assert LEAST_WIDTH <= drawn.width <= PHOTOS_WIDTH + 2 * MARGIN
    assert drawn.height < 1300


def test_a_caption_makes_the_picture_higher_and_nothing_else() -> None:
    without, with_one = picture(PHOTO, PHOTO), picture(PHOTO, PHOTO, caption="duplicate")
    assert with_one.width == without.width
    assert 20 < with_one.height - without.height < 40
    above = 24 + 480 + MARGIN
    np.testing.assert_array_equal(np.asarray(with_one)[:above], np.asarray(without)[:above])


def test_lines_are_chosen_evenly() -> None:
    crowd = [(0.1 * i, 0.1 * i) for i in range(100)]
    corners = [(0.0, 500.0), (500.0, 0.0), (500.0, 500.0)]
    chosen = spread([*crowd, *corners], 4)
    assert {100, 101, 102} < set(chosen)
    assert len(chosen) == 4
    assert len(set(spread(crowd, MOST_LINES))) == MOST_LINES
    assert sorted(spread(crowd[:5], MOST_LINES)) == [0, 1, 2, 3, 4]
    assert spread([], MOST_LINES) == []
