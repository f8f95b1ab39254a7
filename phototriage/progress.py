"""How far a long command is: lines on stderr, not too many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

LINE_SECONDS = 2.0


class Progress:
    """Counts images and prints how many of `total` are done, images/s and the time that is left."""

    def __init__(self, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._total = total
        self._clock = clock
        self._began = self._printed = clock()
        self._done = 0

    def step(self, images: int) -> None:
        """So many more are done. Prints a line every LINE_SECONDS at most, and one for the last image."""
        self._done += images
        now = self._clock()
        if now - self._printed < LINE_SECONDS and self._done < self._total:
            return
        self._printed = now
        rate = self._done / max(now - self._began, 1e-9)
        left = _duration((self._total - self._done) / rate)
        print(f"{self._done} of {self._total} images, {rate:.1f} images/s, {left} left", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes}:{rest:02} min"
