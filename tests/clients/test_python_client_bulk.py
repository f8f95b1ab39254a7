"""Many images by the Python client, of threads and of an event loop: order, bounds, errors, early ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from phototriage_client import AsyncClient, Client, ConnectionFailed, Item, Retry, UnreadableImage, UnsupportedImage
from phototriage_client.answers import ClassifyResponse

from tests.http_clients import wait_until
from tests.running_server import SECONDS

BAD = b"bad"
AT_ONCE, AHEAD = 3, 6

Items = list[Item[ClassifyResponse]]
Many = Callable[..., Items]


class Labeller:
    """A server that calls each image by its content, slower the earlier it comes, and counts."""

    def __init__(self, seconds: float = 0.004) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self.now = self.most = self.asked = 0

    def _begin(self) -> float:
        with self._lock:
            self.now += 1
            self.asked += 1
            self.most = max(self.most, self.now)
            return self._seconds * (3 - self.asked % 4)

    def _end(self, content: bytes) -> httpx.Response:
        with self._lock:
            self.now -= 1
        if content == BAD:
            details = {"title": "No image", "status": 415, "code": "unsupported_image", "detail": "Convert it"}
            return httpx.Response(415, json=details)
        name = {"name": "m", "version": "v"}
        return httpx.Response(
            200, json={"model": name, "label": content.decode(), "confidence": 1, "probabilities": []}
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        time.sleep(self._begin())
        return self._end(request.content)

    async def in_loop(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self._begin())
        return self._end(request.content)


def many_in_threads(server: Labeller, images: Iterable[Any], most: int | None = None) -> Items:
    with Client(transport=httpx.MockTransport(server)) as client:
        return list(islice(client.classify_many(images, concurrency=AT_ONCE), most))


def many_in_loop(server: Labeller, images: Any, most: int | None = None) -> Items:
    async def run() -> Items:
        items: Items = []
        async with (
            AsyncClient(transport=httpx.MockTransport(server.in_loop)) as client,
            aclosing(client.classify_many(images, concurrency=AT_ONCE)) as found,
        ):
            async for item in found:
                items.append(item)
                if len(items) == most:
                    break
        return items

    return asyncio.run(run())


@pytest.fixture(params=[many_in_threads, many_in_loop])
def many(request: pytest.FixtureRequest) -> Many:
    chosen: Many = request.param
    return chosen


def numbers() -> Iterator[bytes]:
    """Without an end."""
    return (str(i).encode() for i in count())


def test_items_come_in_order_each_once(many: Many) -> None:
    items = many(Labeller(), islice(numbers(), 40))
    assert [item.index for item in items] == list(range(40))
    assert [item.get().label for item in items] == [str(i) for i in range(40)]
    assert [item.source for item in items] == list(islice(numbers(), 40))


def test_no_images_give_no_items(many: Many) -> None:
    assert many(Labeller(), []) == []


def test_so_many_are_asked_about_at_once_and_no_more(many: Many) -> None:
    server = Labeller()
    many(server, islice(numbers(), 40))
    assert server.most == AT_ONCE


def test_an_endless_input_is_taken_only_a_little_ahead(many: Many) -> None:
    taken = 0

    def taking() -> Iterator[bytes]:
        nonlocal taken
        for each in numbers():
            taken += 1
            yield each

    assert [item.get().label for item in many(Labeller(), taking(), 20)] == [str(i) for i in range(20)]
    # One waits for a place, and one was taken while the last item was.
    assert taken <= 20 + AHEAD + 2


def test_one_bad_image_never_stops_another(many: Many, tmp_path: Path) -> None:
    (tmp_path / "4").write_bytes(b"4")
    items = many(Labeller(), [b"0", BAD, tmp_path / "missing", None, tmp_path / "4"])
    assert [type(item.error) for item in items] == [
        type(None),
        UnsupportedImage,
        UnreadableImage,
        UnreadableImage,
        type(None),
    ]
    assert (items[0].get().label, items[4].get().label) == ("0", "4")
    assert items[1].answer is None
    with pytest.raises(UnsupportedImage):
        items[1].get()


def test_an_input_that_fails_does_so_after_the_items_before(many: Many) -> None:
    server = Labeller()

    def failing() -> Iterator[bytes]:
        yield from (b"0", b"1")
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        many(server, failing())
    assert (server.asked, server.now) == (2, 0)


def test_items_before_a_failing_input_are_given() -> None:
    def failing() -> Iterator[bytes]:
        yield from (b"0", b"1")
        raise LookupError

    with Client(transport=httpx.MockTransport(Labeller())) as client:
        items = client.classify_many(failing())
        assert [next(items).get().label, next(items).get().label] == ["0", "1"]
        with pytest.raises(LookupError):
            next(items)


def test_a_bug_is_raised_not_told_as_an_item(many: Many) -> None:
    class Broken(Labeller):
        def _end(self, content: bytes) -> httpx.Response:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        many(Broken(), islice(numbers(), 20))


def test_images_may_come_by_and_by_in_an_event_loop() -> None:
    """What is there is answered while the next one is waited for."""

    async def run() -> list[str]:
        more = asyncio.Event()

        async def coming() -> AsyncIterator[bytes]:
            yield b"0"
            await more.wait()
            yield b"1"

        labels = []
        async with AsyncClient(transport=httpx.MockTransport(Labeller().in_loop)) as client:
            async for item in client.classify_many(coming()):
                labels.append(item.get().label)
                more.set()
        return labels

    assert asyncio.run(run()) == ["0", "1"]


def test_what_is_done_is_given_before_another_image_is_taken() -> None:
    server = Labeller(0)
    given: list[str] = []

    def coming() -> Iterator[bytes]:
        yield b"0"
        wait_until(lambda: server.asked == 1 and server.now == 0)
        time.sleep(0.1)
        yield b"1"
        assert given == ["0"]
        yield b"2"

    with Client(transport=httpx.MockTransport(server)) as client:
        given.extend(item.get().label for item in client.classify_many(coming()))
    assert given == ["0", "1", "2"]


def test_leaving_early_begins_nothing_more(many: Many) -> None:
    server = Labeller(0.02)
    assert len(many(server, numbers(), 1)) == 1
    asked = server.asked
    time.sleep(0.2)
    assert server.asked <= asked + AT_ONCE  # a thread that has an image in hand may still ask about it
    assert server.now == 0 or many is many_in_loop


def test_what_waits_for_another_attempt_gives_up_when_the_client_is_closed() -> None:
    refused = count()
    patience = Retry(1000, 3600, first_seconds=600, most_seconds=600)
    found: list[Item[ClassifyResponse]] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        next(refused)
        return httpx.Response(503)

    with Client(transport=httpx.MockTransport(refuse), bulk_retry=patience, random=lambda: 0.9) as client:
        images = client.classify_many(islice(numbers(), 4))
        reader = threading.Thread(target=lambda: found.extend(images))
        reader.start()
        wait_until(lambda: repr(refused) == "count(4)")
    reader.join(SECONDS)
    assert [item.error.attempts for item in found if item.error] == [1] * 4


def test_leaving_early_lets_nothing_wait_for_another_attempt() -> None:
    def refuse_all_but_first(request: httpx.Request) -> httpx.Response:
        return server(request) if request.content == b"0" else httpx.Response(503)

    server = Labeller()
    patience = Retry(1000, 3600, first_seconds=600, most_seconds=600)
    transport = httpx.MockTransport(refuse_all_but_first)
    with Client(transport=transport, bulk_retry=patience, random=lambda: 0.9) as client:
        images = client.classify_many(numbers())
        assert next(images).get().label == "0"
        images.close()
        wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("phototriage-client")])


def test_a_server_that_never_comes_is_an_error_of_every_item() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with Client(transport=httpx.MockTransport(refuse), bulk_retry=Retry(2), sleep=lambda _: None) as client:
        items = list(client.embed_many(islice(numbers(), 3)))
    assert [type(item.error) for item in items] == [ConnectionFailed] * 3
    assert [item.error.attempts for item in items if item.error] == [2, 2, 2]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_nought_at_once_is_refused_when_it_is_asked(kind: Any) -> None:
    with pytest.raises(ValueError, match="concurrency is 0"):
        kind().classify_many([b""], concurrency=0)
