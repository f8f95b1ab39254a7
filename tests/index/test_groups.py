"""Groups as images come one by one: who joins, who founds, who leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phototriage.index.groups import Groups

THRESHOLD = 0.5


class Images:
    """Groups of images whose similarities are told."""

    def __init__(self) -> None:
        self.groups = Groups()

    def come(self, name: str, near: dict[int, float], also: dict[int, float] | None = None) -> str:
        """The label that an image gets whose near rows are those; `also`: what a closer comparison gives."""

        def compare(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.array([(also or {})[row] for row in rows.tolist()])

        rows, values = np.array(list(near), np.int64), np.array(list(near.values()))
        group = self.groups.join(name, rows, values, THRESHOLD, None if also is None else compare)
        return self.groups.labels[group]


def test_an_image_that_is_near_none_founds_a_group_of_its_name() -> None:
    images = Images()
    assert [images.come(name, {}) for name in "ab"] == ["a", "b"]
    assert images.groups.duplicate_groups == 0


def test_it_joins_only_where_it_is_near_every_member() -> None:
    images = Images()
    images.come("a", {})
    assert images.come("b", {0: 0.9}) == "a"
    assert images.come("c", {0: 0.9}) == "c"
    assert images.come("d", {0: 0.5, 1: 0.6}) == "a"
    assert images.come("e", {0: 0.9, 1: 0.9}) == "e"
    assert images.groups.duplicate_groups == 1


def test_the_group_with_the_higher_least_similarity_wins_and_of_equal_ones_the_older() -> None:
    images = Images()
    for name, near in (("a", {}), ("b", {0: 0.9}), ("c", {}), ("d", {})):
        images.come(name, near)
    assert images.come("e", {0: 0.99, 1: 0.6, 2: 0.7, 3: 0.7}) == "c"
    assert images.come("f", {0: 0.8, 1: 0.71, 3: 0.7}) == "a"


def test_members_beyond_the_near_ones_are_compared_if_there_may_be_some() -> None:
    images = Images()
    for name, near in (("a", {}), ("b", {0: 0.9}), ("c", {0: 0.9, 1: 0.9})):
        assert images.come(name, near) == "a"
    assert images.come("d", {1: 0.9}, also={0: 0.7, 2: 0.5}) == "a"
    assert images.come("e", {1: 0.9}, also={0: 0.7, 2: 0.49, 3: 0.9}) == "e"


def test_a_group_goes_on_without_those_that_left_and_keeps_its_label() -> None:
    images = Images()
    images.come("a", {})
    images.come("b", {0: 0.9})
    images.groups.remove(0)
    assert images.come("a", {}) == "a#2"
    assert images.come("c", {1: 0.9}) == "a"
    images.groups.remove(2)
    assert images.come("a", {}) == "a#3"


def test_an_emptied_group_is_nobodys() -> None:
    images = Images()
    images.come("a", {})
    images.groups.remove(0)
    assert images.come("b", {}) == "b"
    assert images.groups.duplicate_groups == 0


def test_groups_that_are_read_again_go_on_as_before() -> None:
    images = Images()
    for name, near in (("a", {}), ("b", {0: 0.9}), ("c", {})):
        images.come(name, near)
    again = Images()
    again.groups.append_segment(images.groups.group_of, images.groups.labels)
    for images_of_either in (images, again):
        assert images_of_either.come("d", {0: 0.9, 2: 0.8}) == "c"
        assert images_of_either.come("e", {0: 0.9, 1: 0.9}) == "a"
        assert images_of_either.groups.duplicate_groups == 2
