"""One function over batches, called from many threads at once: a bounded number of runs, calls joined under load.

The thread that brings a call also computes it, where a lane is free: an idle server hands nothing over and waits for
nothing. Where all lanes are busy, calls wait together, and the next thread that comes by a free lane takes as many as
fit for one run (flat combining: Hendler, Incze, Shavit & Tzafrir, SPAA 2010).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import DeadlineExceeded
from phototriage.common.metrics import BATCH_SIZES

Arrays = tuple[NDArray[Any], ...]
Run = Callable[..., Sequence[NDArray[Any]]]

NO_DEADLINE = float("inf")
LATE = "The image waited for the model until its deadline. Try again later."


class _Call:
    """Rows that a caller waits for."""

    def __init__(self, rows: Arrays, deadline: float) -> None:
        self.rows = rows
        self.deadline = deadline
        self.taken = False
        self.result: Arrays | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.result is not None or self.error is not None


class Batcher:
    """Calls `run` in at most `lanes` threads at once, each with up to `most` rows, or one call of more.

    `run` takes arrays of N rows each and returns arrays of N rows. With `buckets`, batches are filled up to the next
    power of two by repeating a row, since a GPU's memory grows with every size that it has not seen.
    """

    def __init__(self, run: Run, name: str, lanes: int = 1, most: int = 1, buckets: bool = False) -> None:
        self._run = run
        self._sizes = BATCH_SIZES.labels(name)
        self._lanes, self._most, self._buckets = lanes, most, buckets
        self._waiting: deque[_Call] = deque()
        self._changed = Condition()
        self._running = 0

    def __call__(self, *rows: NDArray[Any], deadline: float = NO_DEADLINE) -> Arrays:
        """What `run` gives for these rows, by `deadline` on the clock of `time.monotonic`.

        Raises what `run` raises for them, whatever they were joined with, and DeadlineExceeded
        where the run hasn't begun by then.
        """
        if deadline <= monotonic():
            raise DeadlineExceeded(LATE)
        call = _Call(rows, deadline)
        with self._changed:
            self._waiting.append(call)
            while not call.done and (call.taken or not self._may_begin(call)):
                if not self._changed.wait(None if call.taken else _left(call.deadline)) and not call.taken:
                    self._waiting.remove(call)
                    self._changed.notify_all()
                    raise DeadlineExceeded(LATE)
            taken = [] if call.done else self._take(call)
        if taken:
            self._compute(taken)
        if call.result is None:
            raise call.error or RuntimeError("A run ended without a result")
        return call.result

    @property
    def waiting(self) -> int:
        """Calls whose run hasn't begun."""
        return len(self._waiting)

    def _may_begin(self, call: _Call) -> bool:
        """First come, first served."""
        return self._running < self._lanes and self._waiting[0] is call

    def _take(self, call: _Call) -> list[_Call]:
        """This call, the oldest, and as many of those behind it as fit beside it."""
        self._waiting.popleft()
        taken, size = [call], len(call.rows[0])
        for other in list(self._waiting):
            if size + len(other.rows[0]) > self._most:
                break
            if _fit_together(other, call):
                self._waiting.remove(other)
                taken.append(other)
                size += len(other.rows[0])
        for other in taken:
            other.taken = True
        self._running += 1
        self._changed.notify_all()  # there may be another free lane
        return taken

    def _compute(self, taken: list[_Call]) -> None:
        try:
            self._run_joined(taken)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _run_joined(self, taken: list[_Call]) -> None:
        """Fill in what each call waits for. Where a run of several fails, each is tried by itself."""
        try:
            results = self._joined([call.rows for call in taken])
            for call, rows in zip(taken, results, strict=True):
                call.result = rows
        except BaseException as error:  # whatever it is, those who wait have to hear of it
            if len(taken) == 1:
                taken[0].error = error
                return
            for call in taken:
                self._run_joined([call])

    def _joined(self, calls: list[Arrays]) -> list[Arrays]:
        """The results of each call, from one run."""
        sizes = [len(rows[0]) for rows in calls]
        total = sum(sizes)
        self._sizes.observe(total)
        joined = calls[0] if len(calls) == 1 else tuple(np.concatenate(column) for column in zip(*calls, strict=True))
        filling = _bucket(total) - total if self._buckets else 0
        if filling:
            joined = tuple(np.concatenate([each, np.repeat(each[-1:], filling, 0)]) for each in joined)
        results = tuple(self._run(*joined))
        if len(calls) == 1 and not filling:
            return [results]
        ends = np.cumsum(sizes)
        return [
            tuple(each[end - size : end] for each in results) for size, end in zip(sizes, ends.tolist(), strict=True)
        ]


def _left(deadline: float) -> float | None:
    return None if deadline == NO_DEADLINE else max(0.0, deadline - monotonic())


def _fit_together(first: _Call, second: _Call) -> bool:
    """Whether rows of both can stand in one array."""
    return all(a.shape[1:] == b.shape[1:] for a, b in zip(first.rows, second.rows, strict=True))


def _bucket(rows: int) -> int:
    return 1 << (rows - 1).bit_length()
