"""When a call is made again: how often, after how long, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from phototriage_client.errors import ClientError, Problem


@dataclass(frozen=True)
class Retry:
    """At most `attempts` in all, none of which begins later than `total_seconds` after the first.

    Before the n-th repetition a random time passes, evenly from 0 to `first_seconds` · 2^(n−1), at most `most_seconds`
    ("full jitter"), so that callers who failed together don't come back together. Where the answer had Retry-After,
    that much passes before.
    """

    attempts: int = 6
    total_seconds: float = 30.0
    first_seconds: float = 0.25
    most_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}, and has to be at least 1, which is to ask once")
        if min(self.total_seconds, self.first_seconds, self.most_seconds) < 0:
            raise ValueError(f"{self} has negative seconds: give 0 or more")


USUAL, ONCE = Retry(), Retry(attempts=1)
# Of many images: longer than a server takes to start again, and soon there when it has.
PATIENT = Retry(attempts=1000, total_seconds=120.0, most_seconds=2.0)


class Attempts:
    """Those of one call. `clock` is monotonic and in seconds; `random` gives [0, 1).

    `may_have_begun`: whether the server may have acted on one of those that failed."""

    def __init__(self, retry: Retry, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._retry, self._clock, self._random = retry, clock, random
        self._begin = clock()
        self._made = 0
        self.may_have_begun = False

    def pause_after(self, failure: ClientError, repeatable: bool) -> float:
        """Seconds until the next attempt. Raises the failure where there is to be none: it isn't temporary, the server
        may have begun what must not be done twice, or attempts or time are used up."""
        self._made += 1
        failure.attempts = self._made
        self.may_have_begun |= failure.begun
        seconds = self._seconds(failure)
        late = self._clock() - self._begin + seconds > self._retry.total_seconds
        harmless = repeatable or not failure.begun
        if not failure.temporary or not harmless or self._made >= self._retry.attempts or late:
            raise failure
        return seconds

    def _seconds(self, failure: ClientError) -> float:
        doubled = self._retry.first_seconds * 2.0 ** min(self._made - 1, 60)
        backoff = min(doubled, self._retry.most_seconds) * self._random()
        asked = failure.retry_after if isinstance(failure, Problem) else None
        return backoff + (asked or 0.0)
