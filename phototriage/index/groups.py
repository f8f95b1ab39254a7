"""Groups of images that are all duplicates of one another, as images come one by one."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Similarities = NDArray[np.float64]


class Groups:
    """Complete linkage, as images come: an image joins the group in which every member reaches the threshold with it,
    or founds one. A group's label is the name of the image that founded it, and never changes.

    Which groups there are depends on the order of the images: the first ones found them.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.of = array("q")  # of each row its group
        self._sizes = array("q")  # living rows of each group
        self._taken: set[str] = set()
        self._members: dict[int, list[int]] = {}  # of groups that ever had two or more rows
        self._founders = array("q")

    def take(self, groups: Iterable[int], labels: Iterable[str]) -> None:
        """Rows of a segment, and the labels of the groups that were founded there."""
        for label in labels:
            self._found(label)
        for group in groups:
            self._put(len(self.of), group)

    def leave(self, row: int) -> None:
        """A row whose name got another vector. Its group goes on without it."""
        group = self.of[row]
        self._sizes[group] -= 1
        if group in self._members:
            self._members[group].remove(row)
        else:
            self._founders[group] = -1

    def join(
        self,
        name: str,
        near: Indices,
        similarity: Similarities,
        threshold: float,
        compare: Callable[[Indices], Similarities] | None = None,
    ) -> int:
        """The next row, whose `near` rows (n) have similarities (n) of at least the threshold: its group.

        Of several groups that it could join it takes the one whose least similarity to it is the highest, and of equal
        ones the oldest. compare: works out its similarity to rows, where there may be near ones beyond those given.
        """
        best: tuple[float, int] | None = None
        of = np.array([self.of[row] for row in near.tolist()], np.int64)
        for group in np.unique(of).tolist():
            least = float(similarity[of == group].min())
            if int((of == group).sum()) < self._sizes[group]:
                if compare is None:
                    continue
                rest = np.setdiff1d(np.array(self._members[group], np.int64), near)
                least = min(least, float(compare(rest).min()))
            if least >= threshold and (best is None or least > best[0]):
                best = least, group
        group = self._found(self._free(name)) if best is None else best[1]
        self._put(len(self.of), group)
        return group

    def _found(self, label: str) -> int:
        self.labels.append(label)
        self._taken.add(label)
        self._sizes.append(0)
        self._founders.append(-1)
        return len(self.labels) - 1

    def _free(self, name: str) -> str:
        """The name or, if a group is called that since the name had another vector, the name and a number."""
        label, number = name, 1
        while label in self._taken:
            number += 1
            label = f"{name}#{number}"
        return label

    def _put(self, row: int, group: int) -> None:
        self.of.append(group)
        if group in self._members:
            self._members[group].append(row)
        elif self._sizes[group]:
            self._members[group] = [self._founders[group], row]
        else:
            self._founders[group] = row
        self._sizes[group] += 1

    @property
    def several(self) -> int:
        """Groups of two or more."""
        return sum(self._sizes[group] > 1 for group in self._members)
