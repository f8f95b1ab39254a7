"""Model work in a fixed number of threads, with a bounded queue before them and a deadline for each piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import perf_counter
from typing import TypeVar

from phototriage.errors import DeadlineExceeded, Overloaded
from phototriage.metrics import STAGES

T = TypeVar("T")

WAITING_PER_THREAD = 4


class WorkQueue:
    """Runs functions in `threads` threads; up to four times as many wait, and any more are refused at once.

    A thread can't be stopped. One that works past its deadline keeps its place until it is done, so there are
    never more of them; work that is still waiting at its deadline is taken out and never begins.
    """

    def __init__(self, threads: int) -> None:
        self.capacity = threads * (1 + WAITING_PER_THREAD)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="phototriage")
        self._held = 0
        self._lock = Lock()

    async def run(self, function: Callable[[], T], deadline: float) -> T:
        """The function's result, by `deadline` on the event loop's clock. Raises Overloaded, DeadlineExceeded."""
        self._enter()
        submitted = perf_counter()

        def work() -> T:
            STAGES.labels("queue").observe(perf_counter() - submitted)
            return function()

        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not future.cancelled():
                raise DeadlineExceeded("The answer took longer than the deadline. Send a smaller image.") from None
            raise DeadlineExceeded("The request waited in the queue until its deadline. Try again later.") from None

    @property
    def held(self) -> int:
        """Pieces of work that wait or run."""
        return self._held

    def refuse_if_full(self) -> None:
        """Raise Overloaded now rather than after a body was read in vain."""
        if self._held >= self.capacity:
            raise Overloaded(f"{self._held} images wait or are worked on, which is the limit. Try again later.")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enter(self) -> None:
        with self._lock:
            self.refuse_if_full()
            self._held += 1

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self._held -= 1
