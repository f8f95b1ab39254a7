"""What photos, tags and collections may be called: nothing that would arrive as another name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from phototriage_client.errors import UnsendableId

Tags: TypeAlias = Sequence[str]

MOST_OF_A_FILE_NAME = 255  # characters, of which the server takes no more
# Senders and receivers of forms differ on how these are written in a file's name.
# Browsers write a quotation mark as %22, and so the server reads it.
_NOT_IN_A_FILE_NAME = re.compile(r'["\\\x00-\x1f\x7f]|%(?:22|0a|0d)', re.IGNORECASE)


def check_name(name: str) -> str:
    """A collection's name. Which may be one the server says, but none may lead to another route. Raises ValueError."""
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"a collection can't be called {name!r}: take lower-case letters, digits, '_', '.' and '-'")
    return name


def check_group(group: str) -> str:
    """A group as an answer names it. Raises ValueError."""
    if not re.fullmatch("[0-9]+", group):
        raise ValueError(f"a group can't be {group!r}: it is a number, as the answers about photos and groups have it")
    return group


def check_id(id: str) -> str:
    """A photo's id, in which the server allows what this does but for control characters. Raises UnsendableId."""
    if not isinstance(id, str):
        raise UnsendableId(f"A photo's id is text, and {id!r} is {type(id).__name__!r}. Give str(…) of it.")
    if id in ("", ".", ".."):
        raise UnsendableId(f"A photo can't be known by {id!r}, which no address can end with. Take another id.")
    try:
        id.encode()
    except UnicodeEncodeError:
        raise UnsendableId(f"The id {id!r} has characters that UTF-8 can't say. Take another id.") from None
    return id


def check_file_name(id: str) -> str:
    """An id that a batch can hold. Raises UnsendableId."""
    if _NOT_IN_A_FILE_NAME.search(check_id(id)) or len(id) > MOST_OF_A_FILE_NAME:
        raise UnsendableId(
            f"A batch can't hold the id {id!r}, since file names carry them: at most {MOST_OF_A_FILE_NAME} characters, "
            "without quotation marks, backslashes and control characters, and without %22, %0A and %0D, which stand "
            "for such. Add that photo by itself."
        )
    return id


def joined(tags: Tags) -> str | None:
    """As the query has them; a text is taken as it is. Raises ValueError for a tag that would become another."""
    if isinstance(tags, str):
        return tags or None
    for tag in tags:
        if not tag or "," in tag:
            raise ValueError(f"a tag can't be {tag!r}: tags are told apart by commas, and none is empty")
    return ",".join(tags) or None
