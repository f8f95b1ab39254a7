"""What a collection keeps of a photo, and what may name it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import MalformedRequest

Vector = NDArray[np.float32]

MOST_OF_AN_ID = 512  # characters
# Between embeddings of one photo: sums are rounded in another order in a batch, or behind a classifier.
SAME_VALUES = 1e-4
MOST_TAGS, MOST_OF_A_TAG = 32, 128  # tags of a photo, characters of each
# Patterns. Neither "." nor "..", which callers take for the folder, or the one above, at the end of an address.
# Nor what stands for bytes that are no UTF-8: two ids would be one.
_TEXT = "[^\\x00-\\x1f\\x7f�]"
ID = rf"^(?:[^.\x00-\x1f\x7f�]{_TEXT}*|\.[^.\x00-\x1f\x7f�]{_TEXT}*|\.\.{_TEXT}+)$"
TAG = r"^[^,\x00-\x1f\x7f�]+$"
GROUP = r"^(?:0|[1-9][0-9]{0,17})$"  # a row's number
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class NewPhoto:
    """A photo that is to be added: its embedding float32 (D,), its encoded signature if there is one."""

    id: str
    vector: Vector
    signature: bytes | None
    tags: tuple[str, ...]


@dataclass(frozen=True)
class KeptPhoto(NewPhoto):
    """`row`: its number, which is never given twice; `group`: the row that founded its group; `added_at`: seconds since
    1970."""

    row: int
    group: int
    added_at: float

    def is_as(self, photo: NewPhoto) -> bool:
        """Whether that one is the same photo."""
        same_size = self.signature == photo.signature and self.vector.shape == photo.vector.shape
        return same_size and np.allclose(self.vector, photo.vector, rtol=0, atol=SAME_VALUES)


def check_name(name: str) -> str:
    """A collection's name, which may be a folder's. Raises MalformedRequest."""
    if not NAME.fullmatch(name):
        raise MalformedRequest(
            f"A collection can't be called {name[:80]!r}. Take 1 to 64 lower-case letters, digits, '_', '.' and '-', "
            "the first a letter or digit."
        )
    return name


def group_of(text: str) -> int:
    """The row that founded a group, by what the group is called. Raises MalformedRequest."""
    if not re.fullmatch(GROUP, text):
        raise MalformedRequest(
            f"A group can't be called {text[:80]!r}: it is a number. Take it as the answer about a photo, or about all "
            "groups, has it."
        )
    return int(text)


def check_id(name: str) -> str:
    """A photo's id, which was no query's. Raises MalformedRequest."""
    if not re.fullmatch(ID, name) or len(name) > MOST_OF_AN_ID:
        raise MalformedRequest(
            f"A photo can't be known by {name[:80]!r}, {len(name)} characters. Take 1 to {MOST_OF_AN_ID}, none of them "
            "control characters, and not '.' or '..'."
        )
    return name


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """A photo's tags, which were no query's; each is taken once. Raises MalformedRequest."""
    each = tuple(dict.fromkeys(tags))
    if len(each) > MOST_TAGS:
        raise MalformedRequest(f"A photo can't have {len(each)} tags; {MOST_TAGS} is the limit. Send fewer.")
    for tag in each:
        if not re.fullmatch(TAG, tag) or len(tag) > MOST_OF_A_TAG:
            raise MalformedRequest(
                f"A tag can't be {tag[:80]!r}, {len(tag)} characters. Take 1 to {MOST_OF_A_TAG}, without commas and "
                "control characters."
            )
    return each


def ids_of(names: Sequence[str]) -> list[str | MalformedRequest]:
    """The ids of photos that come together, or why they can't be ids: a name that was there before can't, either."""
    seen: set[str] = set()
    ids = []
    for name in names:
        ids.append(_id_or_error(name, name in seen))
        seen.add(name)
    return ids


def _id_or_error(name: str, is_again: bool) -> str | MalformedRequest:
    if is_again:
        return MalformedRequest(f"Two photos are called {name[:80]!r}; one would replace the other. Rename one.")
    try:
        return check_id(name)
    except MalformedRequest as error:
        return error
