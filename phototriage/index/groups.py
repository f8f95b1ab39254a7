"""Groups of images that are all duplicates of one another, built image by image."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]


class Groups:
    """Incremental complete linkage: an image joins a group if its similarity to every member reaches the threshold, or
    else founds one. Where pairs are verified, their probability takes the similarity's place. A group's label is the
    name of the image that founded it, and never changes.

    The groups depend on the order of the images, since earlier images found them.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.group_of = array("q")  # by row
        self._sizes = array("q")  # living rows of each group
        self._used_labels: set[str] = set()
        self._members: dict[int, list[int]] = {}  # living rows of groups that ever had two or more
        self._founders = array("q")  # of each group its founder's row; −1 once that is dead

    def append_segment(self, groups: Iterable[int], labels: Iterable[str]) -> None:
        """Append the groups of a segment's rows, and the labels of the groups that were founded in it."""
        for label in labels:
            self._new_group(label)
        for group in groups:
            self._append(group)

    def remove(self, row: int) -> None:
        """Remove a row that is dead from its group, which remains, even if it is empty."""
        group = self.group_of[row]
        self._sizes[group] -= 1
        if group in self._members:
            self._members[group].remove(row)
        else:
            self._founders[group] = -1

    def join(
        self,
        name: str,
        near_rows: Indices,
        similarity: Similarities,
        threshold: float,
        compare: Callable[[Indices], Similarities] | None = None,
    ) -> int:
        """Find the group of the next row, append the row to it, and return the group's number.

        near_rows, similarity: rows (n,) whose similarity (n,) to it is at least the threshold. compare: computes its
        similarity to other rows, where `near_rows` may be incomplete; not to all, if one is too far or they are too
        many. Of several groups that it could join, it joins the one whose least similar member is the most similar to
        it, and of equal ones the oldest.
        """
        best: tuple[float, int] | None = None
        near_groups = np.array([self.group_of[row] for row in near_rows.tolist()], np.int64)
        for group in np.unique(near_groups).tolist():
            minimum = float(similarity[near_groups == group].min())
            if int((near_groups == group).sum()) < self._sizes[group]:
                if compare is None:
                    continue
                rest = np.setdiff1d(np.array(self._members[group], np.int64), near_rows)
                minimum = min(minimum, float(compare(rest).min()))
            if minimum >= threshold and (best is None or minimum > best[0]):
                best = minimum, group
        group = self._new_group(self._unique_label(name)) if best is None else best[1]
        self._append(group)
        return group

    def _new_group(self, label: str) -> int:
        self.labels.append(label)
        self._used_labels.add(label)
        self._sizes.append(0)
        self._founders.append(-1)
        return len(self.labels) - 1

    def _unique_label(self, name: str) -> str:
        """The name, or the name and a number if a group has that label: the name had another vector before."""
        label, number = name, 1
        while label in self._used_labels:
            number += 1
            label = f"{name}#{number}"
        return label

    def _append(self, group: int) -> None:
        """Append the next row to a group."""
        row = len(self.group_of)
        self.group_of.append(group)
        if group in self._members:
            self._members[group].append(row)
        elif self._sizes[group]:
            self._members[group] = [self._founders[group], row]
        else:
            self._founders[group] = row
        self._sizes[group] += 1

    @property
    def duplicate_groups(self) -> int:
        """How many groups have two or more images."""
        return sum(self._sizes[group] > 1 for group in self._members)
