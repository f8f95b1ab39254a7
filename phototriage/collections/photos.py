"""What a collection keeps of a photo, and what may name it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import MalformedRequest

Vector = NDArray[np.float32]

MOST_OF_AN_ID = 512  # characters
MOST_TAGS, MOST_OF_A_TAG = 32, 128  # tags of a photo, characters of each
# Patterns. Neither "." nor "..", which callers take for the folder, or the one above, at the end of an address.
# Nor what stands for bytes that are no UTF-8: two ids would be one.
_TEXT = "[^\\x00-\\x1f\\x7f�]"
ID = rf"^(?:[^.\x00-\x1f\x7f�]{_TEXT}*|\.[^.\x00-\x1f\x7f�]{_TEXT}*|\.\.{_TEXT}+)$"
TAG = r"^[^,\x00-\x1f\x7f�]+$"
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
        return self.signature == photo.signature and np.array_equal(self.vector, photo.vector)


def check_name(name: str) -> str:
    """A collection's name, which may be a folder's. Raises MalformedRequest."""
    if not NAME.fullmatch(name):
        raise MalformedRequest(
            f"A collection can't be called {name[:80]!r}. Take 1 to 64 lower-case letters, digits, '_', '.' and '-', "
            "the first a letter or digit."
        )
    return name


def check_id(name: str) -> str:
    """A photo's id, which was no query's. Raises MalformedRequest."""
    if not re.fullmatch(ID, name) or len(name) > MOST_OF_AN_ID:
        raise MalformedRequest(
            f"A photo can't be known by {name[:80]!r}, {len(name)} characters. Take 1 to {MOST_OF_AN_ID}, none of them "
            "control characters, and not '.' or '..'."
        )
    return name
