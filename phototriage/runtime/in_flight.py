"""How many pieces of work the process has before it: where there is but one, it may have all cores."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock
from typing import Any

_lock = Lock()
_count = 0


def is_alone() -> bool:
    """Whether no other piece of work runs or waits than, at most, the caller's own."""
    return _count <= 1


def follow(work: Future[Any]) -> None:
    """Count what was just handed to a thread, until it is done or called off."""
    _add(1)
    work.add_done_callback(lambda _: _add(-1))


@contextmanager
def counted() -> Iterator[None]:
    """Count the work that is done meanwhile."""
    _add(1)
    try:
        yield
    finally:
        _add(-1)


def _add(number: int) -> None:
    global _count
    with _lock:
        _count += number
