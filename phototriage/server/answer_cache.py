"""A cache of answers, by everything that they depend on: the bytes sent, the request, the models' versions."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

from starlette.responses import Response

from phototriage.common.metrics import CACHE, CACHE_BYTES

OVERHEAD_BYTES = 1_000  # of an entry beside its body


class AnswerCache:
    """Bounded by memory; the least recently used answer is dropped first. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[bytes, Response] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def key(parts: Iterable[bytes]) -> bytes:
        """The key of parts, in their order: a SHA-256, which two different lists of parts don't share."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def get(self, key: bytes) -> Response | None:
        """The answer of a key, if it is kept. Counts a hit or a miss."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
        CACHE.labels("miss" if answer is None else "hit").inc()
        return answer

    def keep(self, key: bytes, answer: Response) -> None:
        """Keep an answer, unless it is larger than the whole cache."""
        size = _size(answer)
        if size > self._max_bytes:
            return
        with self._lock:
            if key in self._answers:
                return
            self._answers[key] = answer
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= _size(oldest)
            CACHE_BYTES.set(self._bytes)

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
            self._bytes = 0
            CACHE_BYTES.set(0)


def _size(answer: Response) -> int:
    return len(answer.body) + OVERHEAD_BYTES
