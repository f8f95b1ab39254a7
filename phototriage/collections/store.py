"""What a collection needs of whatever keeps its photos: the small interface between the two."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from phototriage.collections.photos import KeptPhoto, NewPhoto, Vector
from phototriage.index.folder import IndexedModel
from phototriage.index.search import NeighbourRows

Rows = NDArray[np.int64]


class Description(BaseModel):
    """Of a collection. model: the embedder that its photos were embedded by; created_at: seconds since 1970."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    model: IndexedModel
    created_at: float


class Found(NamedTuple):
    """What a store finds for an embedding. changes: how often the store had changed before; nearest: the most similar
    rows; nominees: rows that are worth verifying, ascending int64 (n,)."""

    changes: int
    nearest: NeighbourRows
    nominees: Rows


class Known(NamedTuple):
    """Of a photo that is there; `group`: the row that founded its group."""

    id: str
    group: int


class Counts(NamedTuple):
    """bytes: on disk."""

    photos: int
    groups: int
    not_duplicates: int
    bytes: int


class Page(NamedTuple):
    """Some of many, and from where to go on: None at the end."""

    items: list[tuple[str, ...]]
    after: int | None


class Store(Protocol):
    """The photos of one collection. Any number of threads may use it.

    What was acknowledged is there after the process was killed at any moment. A change that a look didn't see makes
    what was concluded from it void: `insert` says so. Raises StoreUnavailable where it can't be reached, or is full.
    """

    description: Description

    def find(self, vector: Vector, count: int, own: str | None, tags: Sequence[str]) -> Found:
        """The `count` nearest rows to `vector` (D,), among those that have all tags, and those worth verifying; the
        photo `own` is not compared."""
        ...

    def photos(self, rows: Sequence[int]) -> list[KeptPhoto]:
        """Of these rows, those that are still there, in any order."""
        ...

    def photo(self, name: str) -> KeptPhoto | None:
        """The photo of that id."""
        ...

    def insert(self, photo: NewPhoto, group: int | None, changes: int, most: int) -> KeptPhoto | None:
        """Add a photo to a group, or to one of its own; one that has its id is replaced. None, and nothing is done, if
        the store has changed since it had changed `changes` times. Raises TooLarge where it has `most` photos."""
        ...

    def load(self, photos: Sequence[tuple[KeptPhoto, str | None]], groups: dict[str, int]) -> None:
        """Add many photos at once, compared with nothing; rows and groups are given here. Of those of one id the last
        counts. Beside each the name of its group: `groups` remembers which row founded that, from one call to the
        next."""
        ...

    def loading(self) -> AbstractContextManager[None]:
        """Within it, many photos are to be loaded: what finds them may be made anew at its end."""
        ...

    def photos_after(self, row: int, most: int) -> list[KeptPhoto]:
        """At most so many, behind a row, by row."""
        ...

    def set_tags(self, row: int, tags: Sequence[str]) -> None:
        """Of the photo in that row, if it is still there."""
        ...

    def delete(self, name: str) -> bool:
        """Leave nothing of a photo. False if there was none."""
        ...

    def members(self, group: int, most: int) -> list[int]:
        """Rows of a group, ascending."""
        ...

    def any_in_group(self, group: int, names: Collection[str]) -> bool:
        """Whether one of these ids is in the group."""
        ...

    def mark(self, a: str, b: str) -> bool:
        """Remember that two ids are no duplicates; of two photos in one group the later one, unless it founded that,
        founds a group of its own. False if it was known."""
        ...

    def unmark(self, a: str, b: str) -> bool:
        """Forget it. False if there was nothing to forget."""
        ...

    def marked(self, name: str) -> set[str]:
        """The ids that are no duplicates of this one."""
        ...

    def list_photos(self, after: int, most: int, tags: Sequence[str], group: int | None = None) -> Page:
        """(id,) of the photos behind row `after` that have all tags and, if one is given, are in the group, by row."""
        ...

    def list_groups(self, after: int, most: int, most_ids: int) -> Page:
        """(group, number of its photos, id, id, …) of groups of two or more photos behind group `after`; of each its
        first `most_ids` ids, by row."""
        ...

    def list_marked(self, after: int, most: int) -> Page:
        """(id, id) of pairs that are no duplicates."""
        ...

    def counts(self) -> Counts: ...

    def close(self, discard: bool = False) -> None:
        """`discard`: it is going to be deleted, so nothing has to be saved."""
        ...
