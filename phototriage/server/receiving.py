"""Bodies that are coming in: within their deadline, and not more at once than memory bears."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from starlette.requests import Request

from phototriage.common import metrics
from phototriage.common.errors import DeadlineExceeded, Overloaded
from phototriage.server.deadline import Deadline
from phototriage.server.router import READ_AT
from phototriage.settings import Settings

T = TypeVar("T")

MAX_UPLOADS = 64  # each may hold as many bytes as an image may have


class Uploads:
    """`images`: how many are coming in. begun: called when one begins to."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self.images = 0
        self._begun = begun

    async def receive(
        self,
        request: Request,
        settings: Settings,
        read: Callable[[Request, Settings], Awaitable[T]],
        deadline: Deadline,
        images: int,
    ) -> T:
        """Read up to so many images on the event loop."""
        try:
            with self._counted(images), metrics.timed("read"):
                self._begun()
                async with asyncio.timeout_at(deadline.on_loop):
                    received = await read(request, settings)
                request.scope[READ_AT] = perf_counter()
                return received
        except TimeoutError:
            metrics.CUT.labels("slow_body").inc()
            raise DeadlineExceeded(
                f"The body took longer than {deadline.seconds:g} s to come in. Send a smaller file."
            ) from None

    @contextmanager
    def _counted(self, images: int) -> Iterator[None]:
        """Bound the memory that bodies take which are still coming in."""
        if self.images + images > MAX_UPLOADS:
            raise Overloaded(f"{self.images} images are coming in, and {MAX_UPLOADS} may. Try again later.")
        self.images += images
        try:
            yield
        finally:
            self.images -= images
