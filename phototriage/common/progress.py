"""How far a long command is: lines on stderr, not too many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

LINE_SECONDS = 2.0


class Progress:
    """Counts images and prints how many of `total` are done, images/s and the time that is left; without a total, which
    isn't always known, the first two. `title` comes before each line; `unit` is what is counted, if not images."""

    def __init__(
        self, total: int | None, clock: Callable[[], float] = monotonic, *, title: str = "", unit: str = "images"
    ) -> None:
        self._total = total
        self._clock = clock
        self._title, self._unit = title, unit
        self._began = self._printed = clock()
        self._done = self._skipped = self._errors = 0

    def skip(self, images: int) -> None:
        """So many were done before."""
        self._done += images
        self._skipped += images

    def step(self, images: int, errors: int = 0) -> None:
        """So many more are done, and so many of them in vain. Prints a line every LINE_SECONDS at most, and one for the
        last image."""
        self._done += images
        self._errors += errors
        now = self._clock()
        if now - self._printed < LINE_SECONDS and self._done != self._total:
            return
        self._printed = now
        rate = (self._done - self._skipped) / max(now - self._began, 1e-9)
        told = [f"{rate:.1f} {self._unit}/s"]
        if self._errors:
            told.append(f"{self._errors} errors")
        if self._total is not None:
            told.append(f"{duration((self._total - self._done) / rate)} left")
        of = "" if self._total is None else f" of {self._total}"
        print(f"{self._title}{self._done}{of} {self._unit}, {', '.join(told)}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Such as 0:08 min, or 4 h 10 min."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes}:{rest:02} min"
