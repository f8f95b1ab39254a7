from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from phototriage.common.errors import DeadlineExceeded, Overloaded
from phototriage.server.work_queue import WAITING_PER_THREAD, WorkQueue


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What the threads wait for; set at the end, so that none is left over."""
    event = threading.Event()
    yield event
    event.set()


def soon(seconds: float = 5) -> float:
    return asyncio.get_running_loop().time() + seconds


async def empty(queue: WorkQueue) -> None:
    """Wait until nothing is held."""
    while queue.depth:
        await asyncio.sleep(0.005)


def test_results_and_errors_come_back() -> None:
    async def main() -> None:
        queue = WorkQueue(2)
        assert await queue.run(lambda: threading.current_thread().name[:11], soon()) == "phototriage"
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 // 0, soon())
        await empty(queue)

    asyncio.run(main())


def test_work_beyond_the_queue_is_refused_at_once(release: threading.Event) -> None:
    async def main() -> None:
        queue = WorkQueue(2)
        held = [asyncio.create_task(queue.run(release.wait, soon())) for _ in range(2 * (1 + WAITING_PER_THREAD))]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="10 images"):
            await queue.run(release.wait, soon())
        with pytest.raises(Overloaded):
            queue.refuse_if_full()
        release.set()
        assert all(await asyncio.gather(*held))
        await empty(queue)
        assert await queue.run(lambda: 1, soon()) == 1

    asyncio.run(main())


def test_a_thread_past_its_deadline_keeps_its_place(release: threading.Event) -> None:
    async def main() -> None:
        queue = WorkQueue(1)
        with pytest.raises(DeadlineExceeded, match="longer than the deadline"):
            await queue.run(release.wait, soon(0.05))
        assert queue.depth == 1
        release.set()
        await empty(queue)

    asyncio.run(main())


def test_work_that_waits_past_its_deadline_never_begins(release: threading.Event) -> None:
    begun = []

    async def main() -> None:
        queue = WorkQueue(1)
        running = asyncio.create_task(queue.run(release.wait, soon()))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded, match="waited in the queue"):
            await queue.run(lambda: begun.append(1), soon(0.05))
        assert queue.depth == 1
        release.set()
        await running
        await empty(queue)

    asyncio.run(main())
    assert begun == []
