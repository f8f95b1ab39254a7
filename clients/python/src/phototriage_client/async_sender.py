"""As `sender`, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
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


class AsyncSender:
    def __init__(
        self,
        http: httpx.AsyncClient,
        timeout: float,
        retry: Retry,
        bulk_retry: Retry,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
    ) -> None:
        """As of `Sender`."""
        self._http = http
        self._timeout, self._retry, self._bulk_retry = timeout, retry, bulk_retry
        self._clock, self._sleep, self._random = clock, sleep, random
        self._closed = False

    async def close(self) -> None:
        """Close the connections; what waits for another attempt gives up after its pause."""
        self._closed = True
        await self._http.aclose()

    async def ask(self, call: Call[T], retry: Retry | None = None) -> T:
        """The answer. Raises ClientError."""
        attempts = Attempts(retry or self._retry, self._clock, self._random)
        seconds = call.seconds or self._timeout
        while True:
            try:
                response = await self._http.request(**call.options, timeout=connection.timeout(seconds))
            except httpx.RequestError as failure:
                error = error_of_failure(failure, seconds)
            else:
                answer = call.answer(response, attempts.may_have_begun)
                if not isinstance(answer, ClientError):
                    return answer
                error = answer
            await self._sleep(attempts.pause_after(error, call.repeatable))
            if self._closed:
                raise error

    def ask_many(
        self,
        sources: Iterable[Source] | AsyncIterable[Source],
        prepare: Callable[[Source], Awaitable[Call[T]]],
        concurrency: int,
    ) -> AsyncGenerator[Item[T], None]:
        """An item each, in their order. Raises ValueError at once."""
        bulk.check_concurrency(concurrency)

        async def ask(source: Source) -> T:
            return await self.ask(await prepare(source), self._bulk_retry)

        return bulk.in_tasks(sources, ask, concurrency)
