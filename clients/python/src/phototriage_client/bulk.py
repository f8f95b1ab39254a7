"""Many images, a few at a time, in their order: in threads, or in tasks of an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from phototriage_client.errors import ClientError
from phototriage_client.picture import ImageSource
from phototriage_client.side import SideSource

T = TypeVar("T")
Source = TypeVar("Source", bound="ImageSource | Photo")

LOOK_AHEAD = 2  # images that are taken before their turn to be answered, for each that is asked about at once


@dataclass(frozen=True)
class Photo:
    """An image, or its embedding, and what a collection knows it by."""

    id: str
    source: SideSource


@dataclass(frozen=True)
class Item(Generic[T]):
    """An image of many: its place, from 0 on, what was given, and its answer, or the error in its place. `id`: what it
    was to be known by, where it was for a collection."""

    index: int
    source: SideSource
    answer: T | None = None
    error: ClientError | None = None
    id: str | None = None

    def get(self) -> T:
        """The answer; raises the error where there is none."""
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise ValueError(f"item {self.index} has neither an answer nor an error")
        return self.answer


def check_concurrency(concurrency: int) -> None:
    """Raises ValueError."""
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}, and has to be at least 1")


def in_threads(
    images: Iterable[Source], ask: Callable[[Source], T], concurrency: int
) -> Generator[Item[T], None, None]:
    """Items in the images' order. Images are taken in the caller's thread, at most LOOK_AHEAD · concurrency before
    their item is; where taking one fails, those before it come first.

    What `ask` raises other than ClientError ends all. When the generator is closed, what hasn't begun never does.
    """

    def work(index: int, source: Source) -> Item[T]:
        try:
            return _item(index, source, answer=ask(source))
        except ClientError as error:
            return _item(index, source, error=error)

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="phototriage-client")
    waiting: deque[Future[Item[T]]] = deque()
    failure: Exception | None = None
    numbered = enumerate(images)
    try:
        while failure is None:
            try:
                index, source = next(numbered)
            except StopIteration:
                break
            except Exception as error:  # it is raised in its turn
                failure = error
                break
            waiting.append(pool.submit(work, index, source))
            del source
            while waiting and (len(waiting) >= LOOK_AHEAD * concurrency or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def in_tasks(
    images: Iterable[Source] | AsyncIterable[Source],
    ask: Callable[[Source], Awaitable[T]],
    concurrency: int,
) -> AsyncGenerator[Item[T], None]:
    """As `in_threads`, but images are taken while the caller waits, too, and what has begun is cancelled when the
    generator is closed."""

    async def work(index: int, source: Source) -> Item[T]:
        try:
            return _item(index, source, answer=await ask(source))
        except ClientError as error:
            return _item(index, source, error=error)
        finally:
            places.release()

    async def feed() -> None:
        """Put a task for each image, then None, or what went wrong."""
        index = 0
        try:
            async for source in _each(images):
                await places.acquire()
                task = asyncio.create_task(work(index, source))
                del source
                tasks.add(task)
                await waiting.put(task)
                index += 1
        except Exception as error:  # it is raised in its turn
            await waiting.put(error)
        else:
            await waiting.put(None)

    places = asyncio.Semaphore(concurrency)
    waiting: asyncio.Queue[asyncio.Task[Item[T]] | Exception | None] = asyncio.Queue(LOOK_AHEAD * concurrency)
    tasks: set[asyncio.Task[Item[T]]] = set()
    feeder = asyncio.create_task(feed())
    try:
        while (found := await waiting.get()) is not None:
            if isinstance(found, Exception):
                raise found
            item = await found
            tasks.discard(found)
            yield item
    finally:
        left = [feeder, *tasks]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _item(index: int, given: ImageSource | Photo, answer: T | None = None, error: ClientError | None = None) -> Item[T]:
    if isinstance(given, Photo):
        return Item(index, given.source, answer, error, given.id)
    return Item(index, given, answer, error)


async def _each(images: Iterable[Source] | AsyncIterable[Source]) -> AsyncIterator[Source]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
