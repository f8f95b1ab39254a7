from __future__ import annotations

from itertools import pairwise

import pytest

from phototriage.verification.panels import GAP, Panel, arranged, plain, shortened, text_width, wrapped


def test_photos_have_one_height_side_by_side() -> None:
    a, b = arranged([4 / 3, 2 / 3], ["a", "b"], 1400, 480, 20, 10)
    assert (a.width, a.height, b.width, b.height) == (640, 480, 320, 480)
    assert a.top == b.top
    assert b.left == a.right + GAP


def test_panoramas_are_stacked_in_one_width() -> None:
    a, b = arranged([20, 20], ["a", "b"], 1400, 480, 20, 10)
    assert (a.size, b.size) == ((1400, 70), (1400, 70))
    assert a.left == b.left
    assert b.top > a.bottom


@pytest.mark.parametrize("proportions", [[1.5, 1.5], [3, 0.05], [0.01, 50], [20, 1], [0.002, 400], [1, 1, 1]])
def test_nothing_is_wider_or_lies_over_another(proportions: list[float]) -> None:
    titles = ["a title of some length"] * len(proportions)
    panels = arranged(proportions, titles, 1400, 480, 20, 10)
    assert max(panel.right for panel in panels) <= 1400 + 20
    for one, other in pairwise(panels):
        beside = other.left >= one.left + max(one.width, text_width(titles[0], 15))
        assert beside or other.top > one.bottom
    assert all(min(panel.size) >= 1 for panel in panels)


def test_texts_are_wrapped_and_shortened_to_their_room() -> None:
    lines = wrapped("one two three four five six seven", 15, 100)
    assert len(lines) > 1
    assert " ".join(lines) == "one two three four five six seven"
    assert max(text_width(line, 15) for line in lines) <= 100
    short = shortened("a_very_long_name_of_a_file_0001.jpg", 15, 120)
    assert text_width(short, 15) <= 120
    assert (short[:3], short[-4:]) == ("a_v", ".jpg")
    assert shortened("short.jpg", 15, 120) == "short.jpg"
    assert wrapped("unbreakable" * 9, 15, 100) == [shortened("unbreakable" * 9, 15, 100)]


def test_accents_and_line_breaks_are_left_out() -> None:
    assert plain("Küche\nà la  carte.jpg") == "Kuche a la carte.jpg"


def test_a_panel_knows_its_edges() -> None:
    panel = Panel(10, 20, 30, 40)
    assert (panel.right, panel.bottom, panel.size) == (40, 60, (30, 40))
