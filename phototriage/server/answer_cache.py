"""Answers that were given, by what they were given for: the bytes sent, the question, the models' versions."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from starlette.responses import Response

from phototriage.common.metrics import CACHE, CACHE_BYTES

OVERHEAD_BYTES = 1_000  # of an entry beside its body


class AnswerCache:
    """Bounded by memory; what wasn't asked for the longest goes first. Safe to use from several threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Response] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def key(parts: Iterable[bytes]) -> bytes:
        """Of parts, in their order; no two lists of parts share one but by a collision of SHA-256."""
        found = hashlib.sha256()
        for part in parts:
            found.update(len(part).to_bytes(8, "little"))
            found.update(part)
        return found.digest()

    def get(self, key: bytes) -> Response | None:
        with self._lock:
            answer = self._kept.get(key)
            if answer is not None:
                self._kept.move_to_end(key)
        CACHE.labels("miss" if answer is None else "hit").inc()
        return answer

    def keep(self, key: bytes, answer: Response) -> None:
        """An answer larger than the whole cache isn't kept."""
        size = _size(answer)
        if size > self._most:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = answer
            self._bytes += size
            while self._bytes > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)
            CACHE_BYTES.set(self._bytes)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0
            CACHE_BYTES.set(0)


def _size(answer: Response) -> int:
    return len(answer.body) + OVERHEAD_BYTES
