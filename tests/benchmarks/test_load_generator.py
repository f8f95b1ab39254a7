"""The load generator against a server whose answers and delays are known."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from benchmarks.http_answer import Answer
from benchmarks.load_generator import LOST, Address, Load, ask, closed_loop, open_loop, poisson_arrivals

Respond = Callable[[int, bytes, asyncio.StreamWriter], Awaitable[bool]]  # number, body, where to → whether to go on

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nRetry-After: %d\r\n\r\n"


def post(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@contextmanager
def serving(respond: Respond) -> Iterator[tuple[Address, list[bytes]]]:
    """An HTTP server in a thread: its address, and the bodies that came in."""
    bodies: list[bytes] = []
    started = threading.Event()
    address: list[Address] = []
    stop: list[Callable[[], object]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                if not await respond(len(bodies) - 1, bodies[-1], writer):
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**24)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        address.append(server.sockets[0].getsockname())
        started.set()
        await ended.wait()
        await asyncio.sleep(0.02)  # for connections that were opened last to be taken, or they would never be closed
        server.close()
        # The clients have closed theirs, so these end.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)
    try:
        yield address[0], bodies
    finally:
        stop[0]()
        thread.join(10)


def answering(*pieces: bytes, delay: float = 0.0, go_on: bool = True) -> Respond:
    """The same answer to everyone, in these pieces."""

    async def respond(_: int, __: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(delay)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return go_on

    return respond


def test_a_closed_loop_counts_every_request_once_and_sends_it_whole() -> None:
    large = bytes(range(256)) * 20_000  # 5 MB, more than a socket takes at once
    with serving(answering(OK, delay=0.01)) as (address, bodies):
        load = closed_loop(address, [post(b"one"), post(large)], connections=3, seconds=0.3)
    assert load.answered == len(bodies)
    assert set(bodies) == {b"one", large}
    assert load.count(200) == len(load.statuses)
    assert load.reopened == load.unsent == 0
    assert load.rate > 0
    assert load.latencies(200).min() >= 0.01
    assert (load.sent >= load.due).all()
    assert (load.done > load.sent).all()


def test_one_connection_has_one_request_on_its_way() -> None:
    underway = most = 0

    async def respond(_: int, __: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal underway, most
        underway += 1
        most = max(most, underway)
        await asyncio.sleep(0.005)
        underway -= 1
        writer.write(OK)
        return True

    with serving(respond) as (address, _):
        closed_loop(address, [post(b"")], connections=4, seconds=0.1)
    assert most == 4


def test_statuses_are_counted_and_a_refused_client_waits_as_long_as_it_is_told() -> None:
    async def respond(number: int, _: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(BUSY % 0 if number % 3 == 2 else b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return True

    with serving(respond) as (address, bodies):
        load = closed_loop(address, [post(b"")], connections=1, seconds=0.1)
    assert load.count(503) == len(bodies) // 3
    assert load.count(404) == len(load.statuses) - load.count(503)
    assert load.answered == load.rate == 0
    with serving(answering(BUSY % 60)) as (address, bodies):
        closed_loop(address, [post(b"")], connections=2, seconds=0.1)
    assert len(bodies) == 2


def test_a_connection_that_the_server_closes_is_counted_and_opened_again() -> None:
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with serving(answering(closing, go_on=False)) as (address, bodies):
        load = closed_loop(address, [post(b"")], connections=2, seconds=0.1)
    assert load.answered == load.reopened == len(bodies) > 2
    assert load.count(LOST) == 0


def test_an_answer_that_breaks_off_is_lost() -> None:
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", go_on=False)) as (address, bodies):
        load = closed_loop(address, [post(b"")], connections=1, seconds=0.1)
    assert load.count(LOST) == len(load.statuses) > 1
    assert load.reopened == len(bodies)
    assert load.answered == 0


def test_no_server_is_no_answer() -> None:
    with serving(answering(OK)) as (address, _):
        pass
    load = closed_loop(address, [post(b"")], connections=1, seconds=0.05)
    assert load.count(LOST) == len(load.statuses) > 0


@pytest.mark.parametrize(
    "pieces",
    [
        (OK,),
        (b"HTTP/1.1 200 OK\r\ncontent-leng", b"th: 2\r", b"\n\r\n{", b"}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r", b"\n{\r\n1;a=b\r\n", b"}\r\n0\r\n", b"\r\n"),
    ],
)
def test_an_answer_ends_where_its_length_or_its_chunks_say(pieces: tuple[bytes, ...]) -> None:
    answer = Answer()
    for piece in pieces:
        assert not answer.complete
        answer.feed(piece)
    assert (answer.complete, answer.status, bytes(answer.body), answer.closes) == (True, 200, b"{}", False)
    with pytest.raises(ValueError, match="after the answer's end"):
        answer.feed(b"HTTP")
    with serving(answering(*pieces)) as (address, _):
        assert ask(address, post(b"")) == (200, b"{}")
        assert closed_loop(address, [post(b"")], connections=2, seconds=0.05).count(LOST) == 0


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    with serving(answering(b"HTTP/1.1 200 OK\r\n\r\nall", go_on=False)) as (address, _):
        assert ask(address, post(b"")) == (200, b"all")
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", go_on=False)) as (address, _):  # noqa: SIM117
        with pytest.raises(ConnectionError, match="before the answer did"):
            ask(address, post(b""))


def test_an_open_loop_sends_each_arrival_when_it_is_due_and_counts_from_then() -> None:
    arrivals = np.array([0.0, 0.01, 0.02, 0.3])
    with serving(answering(OK, delay=0.1)) as (address, bodies):
        load = open_loop(address, [post(b"")], connections=1, arrivals=arrivals, seconds=0.5)
    assert len(bodies) == load.answered == 4
    assert load.due.tolist() == arrivals.tolist()
    # One connection: the second waits for the first, the third for both, and that is counted.
    assert load.latencies(200)[1] >= 0.19
    assert load.latencies(200)[2] >= 0.28
    assert (load.latencies(200, since_sent=True)[:3] < load.latencies(200)[:3] + 1e-9).all()


def test_arrivals_that_find_no_connection_are_told() -> None:
    arrivals = np.linspace(0, 0.05, 10)
    with serving(answering(OK, delay=0.3)) as (address, bodies):
        load = open_loop(address, [post(b"")], connections=4, arrivals=arrivals, seconds=0.1)
    assert (len(bodies), load.answered, load.unsent) == (4, 4, 6)


def test_poisson_arrivals_have_the_rate_and_the_spread() -> None:
    arrivals = poisson_arrivals(rate=200, seconds=50, seed=0)
    # 10,000 expected; four standard deviations, which are 100 for a Poisson count
    assert abs(len(arrivals) - 10_000) < 400
    assert (np.diff(arrivals) >= 0).all()
    assert arrivals[0] >= 0
    assert arrivals[-1] < 50
    gaps = np.diff(arrivals)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of an exponential distribution
    assert arrivals.tolist() == poisson_arrivals(200, 50, seed=0).tolist()
    assert arrivals.tolist() != poisson_arrivals(200, 50, seed=1).tolist()


def test_rates_by_hand() -> None:
    """Two cores for 10 s, of which the generator took 4 core-seconds: 20 / (20 − 4) of the rate."""
    done = np.array([1.0, 2.0, 8.0, 9.0, 11.0])
    statuses = np.array([200, 200, 200, 503, 200])
    load = Load(10.0, 4.0, statuses, done - 1, done - 0.5, done, reopened=0, unsent=0, answered=4)
    assert load.rate == pytest.approx(3 / 8)  # the last is after the end, the one before it was refused
    assert load.rate_given_back(cores=2) == pytest.approx(3 / 8 * 20 / 16)
    assert load.latencies(200, 503).tolist() == [1.0] * 5
    assert load.latencies(503, since_sent=True).tolist() == [0.5]
