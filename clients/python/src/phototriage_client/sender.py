"""Sends calls, and again where that may help; of many, a few at once. Threads may share it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from threading import Event
from typing import TypeVar

import httpx

from phototriage_client import bulk, connection
from phototriage_client.bulk import Item, Photo
from phototriage_client.calls import Call
from phototriage_client.errors import ClientError
from phototriage_client.picture import ImageSource
from phototriage_client.replies import error_of_failure
from phototriage_client.retry import Attempts, Retry

T = TypeVar("T")
Source = TypeVar("Source", bound=ImageSource | Photo)


class Sender:
    def __init__(
        self,
        http: httpx.Client,
        timeout: float,
        retry: Retry,
        bulk_retry: Retry,
        clock: Callable[[], float],
        sleep: Callable[[float], None] | None,
        random: Callable[[], float],
    ) -> None:
        """`timeout` is in seconds, for each attempt; `retry` is for single calls, `bulk_retry` for each of many."""
        self._http = http
        self._timeout, self._retry, self._bulk_retry = timeout, retry, bulk_retry
        self._clock, self._sleep, self._random = clock, sleep, random
        self._closed = Event()
        self._stops: set[Event] = set()  # of what is asked about many images at the moment

    def close(self) -> None:
        """Close the connections; what waits for another attempt gives up."""
        for stop in (self._closed, *list(self._stops)):
            stop.set()
        self._http.close()

    def ask(self, call: Call[T], retry: Retry | None = None, stop: Event | None = None) -> T:
        """The answer. Raises ClientError. Once `stop` is set, there is no other attempt."""
        stop = stop or self._closed
        attempts = Attempts(retry or self._retry, self._clock, self._random)
        timeout = call.seconds or self._timeout
        while True:
            try:
                response = self._http.request(**call.options, timeout=connection.timeout(timeout))
            except httpx.RequestError as failure:
                error = error_of_failure(failure, timeout)
            else:
                answer = call.answer(response, attempts.may_have_begun)
                if not isinstance(answer, ClientError):
                    return answer
                error = answer
            seconds = attempts.pause_after(error, call.repeatable)
            if self._sleep is None:
                stop.wait(seconds)
            else:
                self._sleep(seconds)
            if stop.is_set():
                raise error

    def ask_many(
        self, sources: Iterable[Source], prepare: Callable[[Source], Call[T]], concurrency: int
    ) -> Generator[Item[T], None, None]:
        """An item each, in their order; `prepare` is called in threads. Raises ValueError at once."""
        bulk.check_concurrency(concurrency)

        def run() -> Generator[Item[T], None, None]:
            stop = Event()
            self._stops.add(stop)
            try:
                yield from bulk.in_threads(
                    sources, lambda source: self.ask(prepare(source), self._bulk_retry, stop), concurrency
                )
            finally:
                stop.set()
                self._stops.discard(stop)

        return run()
