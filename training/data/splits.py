"""Which images belong together, and where each group goes: by its content's hash, so that it stays there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.sources.files import DataError
from training.sources.layouts import Split


def connect(count: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Union-find: for each of `count` items the smallest item that it is connected with."""
    parents = list(range(count))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    for left, right in edges:
        low, high = sorted((root(left), root(right)))
        parents[high] = low
    return [root(item) for item in range(count)]


def groups(hashes: Sequence[str], edges: Iterable[tuple[int, int]]) -> list[str]:
    """The group of each image, called after the smallest hash of its members."""
    roots = connect(len(hashes), edges)
    smallest: dict[int, str] = {}
    for root, content in zip(roots, hashes, strict=True):
        smallest[root] = min(content, smallest.get(root, content))
    return [smallest[root] for root in roots]


def name_edges(names: Sequence[str | None]) -> list[tuple[int, int]]:
    """Connects the images of the same name; None connects with nothing."""
    firsts: dict[str, int] = {}
    return [(firsts.setdefault(name, index), index) for index, name in enumerate(names) if name is not None]


def group_names(keys: Sequence[str], pattern: str) -> list[str | None]:
    """What `pattern` finds in each key: its groups, or all of it if it has none; None where it finds nothing.

    Raises DataError if the pattern is invalid or fits no key.
    """
    try:
        matches = [re.search(pattern, key) for key in keys]
    except re.error as error:
        raise DataError(f"The group pattern {pattern!r} is no regular expression: {error}.") from error
    if not any(matches):
        raise DataError(f"The group pattern {pattern!r} fits none of {len(keys):,} names, such as {keys[0]!r}.")
    return [match and "\0".join(part or "" for part in match.groups() or (match[0],)) for match in matches]


def share(group: str, purpose: str) -> float:
    """A place in [0, 1) that depends on the group alone.

    It is hashed anew, since the smallest of several hashes isn't uniform: large groups would crowd into test.
    `purpose` keeps folds independent of splits.
    """
    digest = hashlib.sha256(f"{purpose}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float


def split_by_hash(group: str, val: float, test: float) -> Split:
    """test is the lower end of the hash space and val follows, so that another `val` leaves test alone."""
    place = share(group, "split")
    if place < test:
        return "test"
    return "val" if place < test + val else "train"


def assign(
    given: Sequence[Split | None], group_of: Sequence[str], *, val: float = 0.1, test: float = 0.1
) -> list[Split]:
    """The split of each image. What the source prescribes is honoured; if it prescribes no val, val is cut
    from train by the hash rule, and if it prescribes no test, test is too.

    Raises DataError for impossible shares.
    """
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise DataError(f"The shares val {val:g} and test {test:g} must be 0 or more and leave a rest for train.")
    found = set(given)
    cut = {
        "train": (0 if "val" in found else val, 0 if "test" in found else test),
        None: (val, test),
    }
    return [
        prescribed if prescribed in ("val", "test") else split_by_hash(group, *cut[prescribed])
        for prescribed, group in zip(given, group_of, strict=True)
    ]


def folds(group_of: Sequence[str], count: int) -> NDArray[np.int64]:
    """(N,) int64: the fold, 0 to count − 1, of each image for cross-validation. Groups stay together.

    Folds are of about equal size, not exactly: an image's fold doesn't depend on the others.
    """
    if count < 2:
        raise DataError(f"Cross-validation needs 2 folds or more, not {count}.")
    return np.array([int(share(group, f"fold of {count}") * count) for group in group_of], np.int64)
