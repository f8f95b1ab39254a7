"""A bounded queue of work for a fixed number of threads, with a deadline for each piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, get_ident
from time import perf_counter
from typing import TypeVar

from phototriage.common.errors import DeadlineExceeded, Overloaded
from phototriage.common.metrics import observe
from phototriage.common.process import current_core, leave_core
from phototriage.runtime import in_flight

T = TypeVar("T")

WAITING_PER_THREAD = 4


class WorkQueue:
    """Runs functions in `threads` threads. Up to four times as many functions wait; any more are refused at once.

    A thread can't be stopped. Work that runs past its deadline keeps its place in the queue until it is done, so there
    are never more threads; work that still waits at its deadline is cancelled and never begins.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.capacity = threads * (1 + WAITING_PER_THREAD)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="phototriage")
        self._depth = 0
        self._running: dict[int, float] = {}  # when it began, by thread
        self._lock = Lock()

    async def run(self, function: Callable[[], T], deadline: float) -> T:
        """The function's result, by `deadline` on the event loop's clock. Raises Overloaded, DeadlineExceeded."""
        self._enter()
        future = self._submit(function)
        future.add_done_callback(self._leave)
        return await _within(asyncio.wrap_future(future), future, deadline)

    async def run_each(self, functions: Sequence[Callable[[], T]], deadline: float) -> list[T | DeadlineExceeded]:
        """The results of many functions, in order; DeadlineExceeded for each that was too late.

        Together they take one place in the queue, and up to all threads. Raises Overloaded.
        """
        self._enter()
        free = asyncio.Semaphore(self.threads)

        async def run_one(function: Callable[[], T]) -> T | DeadlineExceeded:
            try:
                async with asyncio.timeout_at(deadline), free:
                    future = self._submit(function)
                    return await _within(asyncio.wrap_future(future), future, deadline)
            except DeadlineExceeded as error:
                return error
            except TimeoutError:
                return DeadlineExceeded("The image waited for the others until the deadline. Send fewer at once.")

        try:
            return await asyncio.gather(*(run_one(function) for function in functions))
        finally:
            self._leave()

    def aside(self, function: Callable[[], T]) -> Callable[[], T]:
        """Run the function in another thread, if one is idle. Returns a function that waits for the result; it runs
        the work itself if no other thread has begun it. To be called from a thread of this queue."""
        if self._depth >= self.threads:
            return function
        core = current_core()

        def run_on_another_core() -> T:
            leave_core(core)
            return function()

        future = self._pool.submit(run_on_another_core)
        in_flight.follow(future)
        return lambda: function() if future.cancel() else future.result()

    @property
    def depth(self) -> int:
        """How many pieces of work wait or run."""
        return self._depth

    @property
    def busy_seconds(self) -> float:
        """For how many seconds the oldest running piece of work has been running; 0 if none is."""
        return max((perf_counter() - start for start in list(self._running.values())), default=0.0)

    def refuse_if_full(self) -> None:
        """Raise Overloaded now rather than after a body was read in vain."""
        if self._depth >= self.capacity:
            raise Overloaded(f"{self._depth} images wait or are worked on, which is the limit. Try again later.")

    def close(self) -> None:
        """Take no more work, and cancel what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        submitted = perf_counter()

        def work() -> T:
            start = perf_counter()
            observe("queue", start - submitted)
            self._running[get_ident()] = start
            try:
                return function()
            finally:
                del self._running[get_ident()]

        future = self._pool.submit(work)
        in_flight.follow(future)
        return future

    def _enter(self) -> None:
        with self._lock:
            self.refuse_if_full()
            self._depth += 1

    def _leave(self, _: object = None) -> None:
        with self._lock:
            self._depth -= 1


async def _within(result: Awaitable[T], future: Future[T], deadline: float) -> T:
    try:
        async with asyncio.timeout_at(deadline):
            return await result
    except TimeoutError:
        if not future.cancelled():
            raise DeadlineExceeded("The answer took longer than the deadline. Send a smaller image.") from None
        raise DeadlineExceeded("The request waited in the queue until its deadline. Try again later.") from None
