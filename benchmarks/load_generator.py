"""Load on one address over raw sockets: closed loop at so many connections, or open loop at given arrival times.

It shares its cores with the server that it asks, so it is made to be cheap: requests are bytes made beforehand, and of
answers only the status and the length are read. Head and body go out in one buffer, without Nagle's delay, so that
none waits for an acknowledgement that the other side holds back for 40 ms. Connections are kept alive, and opened again
where the server closes them.
"""

from __future__ import annotations

import heapq
import resource
import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from benchmarks.http_answer import Answer

LOST = 0  # the status of a request whose connection ended before the answer did
PIECE = 262_144  # bytes that are read at once
WARM_UP_SECONDS = 20.0  # at most, for every connection of a closed loop to be answered once
DRAIN_SECONDS = 60.0  # at most, for answers to come in once no more is asked

Address = tuple[str, int]


@dataclass(frozen=True)
class Load:
    """What became of every request, one row each; times in seconds, 0 when the load began, or was warm."""

    seconds: float  # for which requests were sent; answers of those came in later too
    generator_seconds: float  # CPU time of the generator meanwhile
    statuses: NDArray[np.int64]
    due: NDArray[np.float64]  # scheduled arrival; in a closed loop, when the connection was free
    sent: NDArray[np.float64]  # the first byte
    done: NDArray[np.float64]  # the last byte of the answer
    reopened: int  # connections that the server closed
    unsent: int  # arrivals that found no free connection to the end
    answered: int  # with 200, those of the warm-up too, of which there are no rows

    def count(self, *statuses: int) -> int:
        return int(np.isin(self.statuses, statuses).sum())

    @property
    def rate(self) -> float:
        """Answers of 200 a second, up to the last one before the end: a half-done one isn't taken for idleness."""
        done = self.done[(self.statuses == 200) & (self.done <= self.seconds)]
        return len(done) / float(done.max()) if len(done) else 0.0

    def rate_given_back(self, cores: int) -> float:
        """The rate, had the generator had a core of its own: scaled by all core-seconds over those that were left.

        An upper bound, and meaningful only where the cores were busy: at one connection most are idle anyway.
        """
        whole = self.seconds * cores
        return self.rate * whole / (whole - self.generator_seconds)

    def latencies(self, *statuses: int, since_sent: bool = False) -> NDArray[np.float64]:
        """Seconds from the scheduled arrival (or the first byte sent) to the last byte of each such answer."""
        chosen = np.isin(self.statuses, statuses)
        return (self.done - (self.sent if since_sent else self.due))[chosen]


def poisson_arrivals(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Arrival times (n,) in [0, seconds), at `rate` a second on average, each independent of the others."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / rate, size=int(rate * seconds + 10 * (rate * seconds) ** 0.5 + 10))
    times = np.cumsum(gaps)
    return times[times < seconds]


def closed_loop(address: Address, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Each connection asks again once it is answered; after 503, when the time of Retry-After has passed.

    All ask at once in the beginning, so what is answered before each was answered once is not in the rows.
    """
    return _Generator(address, requests, connections, [0.0] * connections, seconds, again=True).run()


def open_loop(
    address: Address, requests: Sequence[bytes], connections: int, arrivals: NDArray[np.float64], seconds: float
) -> Load:
    """Requests at their arrival times, whatever became of the others, over at most so many connections.

    A late answer doesn't hold back the next request, and an arrival that waits for a free connection is counted from
    when it was due, so that a slow server can't hide what it did to those who came meanwhile.
    """
    return _Generator(address, requests, connections, list(map(float, arrivals)), seconds, again=False).run()


def ask(address: Address, request: bytes, seconds: float = 60.0) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own. Raises OSError where there is no answer."""
    with socket.create_connection(address, timeout=seconds) as connection:
        connection.sendall(request)
        answer = Answer()
        while not answer.complete:
            data = connection.recv(PIECE)
            if not data:
                answer.end()
                break
            answer.feed(data)
    if not answer.complete:
        raise ConnectionError("the connection ended before the answer did")
    return answer.status, bytes(answer.body)


class _Connection:
    """One connection: at most one request on its way, which may be answered before it is wholly sent."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)  # what becomes of it, the first write tells
        self.answer: Answer | None = None
        self.first = False
        self.due = self.sent = 0.0
        self._unsent = memoryview(b"")

    def begin(self, request: bytes, due: float, now: float) -> None:
        self.answer, self.due, self.sent = Answer(), due, now
        self._unsent = memoryview(request)
        self.write()

    def write(self) -> None:
        """Send what the socket takes. Raises OSError where the connection is gone."""
        while self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return

    @property
    def wants(self) -> int:
        """Events to wait for; an idle connection waits for the server to close it."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    @property
    def busy(self) -> bool:
        """Until it is answered, and all of the request is sent: the server still reads the rest of a refused one."""
        return self.answer is not None and (self.sending or not self.answer.complete)

    @property
    def sending(self) -> bool:
        return bool(self._unsent)


class _Generator:
    def __init__(
        self,
        address: Address,
        requests: Sequence[bytes],
        connections: int,
        due: list[float],
        seconds: float,
        again: bool,
    ) -> None:
        self._address, self._requests, self._seconds, self._again = address, requests, seconds, again
        self._due = due  # ascending, so a heap
        self._count = connections
        self._idle: deque[_Connection] = deque()
        self._rows: list[tuple[int, float, float, float]] = []
        self._reopened = self._asked = self._busy = 0
        self._unanswered = connections if again else 0  # of those that are there from the beginning
        self._began = 0.0

    def run(self) -> Load:
        with selectors.DefaultSelector() as self._selector:
            try:
                for _ in range(self._count):
                    self._open()
                return self._measure()
            finally:
                for key in list(self._selector.get_map().values()):
                    key.data.socket.close()

    def _measure(self) -> Load:
        self._began = perf_counter()
        self._turn_until(WARM_UP_SECONDS, lambda: not self._unanswered)
        warm, cpu = self._now() if self._again else 0.0, _cpu_seconds()
        self._turn_until(warm + self._seconds, lambda: False)
        cpu = _cpu_seconds() - cpu
        unsent = 0 if self._again else len(self._due)
        self._again = False
        self._due.clear()
        self._turn_until(self._now() + DRAIN_SECONDS, lambda: not self._busy)
        for key in list(self._selector.get_map().values()):
            if key.data.answer is not None:
                self._finish(key.data, lost=True)
        rows = np.array(self._rows, float).reshape(-1, 4)
        statuses, done = rows[:, 0].astype(np.int64), rows[:, 3]
        kept = done > warm
        return Load(
            seconds=self._seconds,
            generator_seconds=cpu,
            statuses=statuses[kept],
            due=rows[kept, 1] - warm,
            sent=rows[kept, 2] - warm,
            done=done[kept] - warm,
            reopened=self._reopened,
            unsent=unsent,
            answered=int((statuses == 200).sum()),
        )

    def _now(self) -> float:
        return perf_counter() - self._began

    def _turn_until(self, end: float, finished: Callable[[], bool]) -> None:
        """Send what is due and take what comes in."""
        while not finished() and (now := self._now()) < end:
            while self._due and self._idle and self._due[0] <= now:
                self._begin(self._idle.popleft(), heapq.heappop(self._due), now)
            next_due = self._due[0] if self._due and self._idle else end
            for key, events in self._selector.select(max(0.0, min(end, next_due) - self._now())):
                self._serve(key.data, events)

    def _begin(self, connection: _Connection, due: float, now: float) -> None:
        request = self._requests[self._asked % len(self._requests)]
        self._asked += 1
        self._busy += 1
        try:
            connection.begin(request, due, now)
        except OSError:
            self._finish(connection, lost=True)
        else:
            self._selector.modify(connection.socket, connection.wants, connection)

    def _serve(self, connection: _Connection, events: int) -> None:
        answer = connection.answer
        if answer is None:
            self._replace(connection)  # closed while idle: nobody's request is lost
            return
        ended = broken = False
        try:
            if events & selectors.EVENT_READ:
                data = connection.socket.recv(PIECE)
                ended = not data
                if ended:
                    answer.end()
                else:
                    answer.feed(data)
            if events & selectors.EVENT_WRITE and not ended:
                connection.write()
        except OSError:
            ended = True  # an answer that is complete by now counts
        except ValueError:
            broken = True
        if ended or broken or (answer.complete and answer.closes):
            self._finish(connection, lost=broken or not answer.complete)
        elif not connection.busy:
            self._finish(connection)
        else:
            self._selector.modify(connection.socket, connection.wants, connection)

    def _finish(self, connection: _Connection, lost: bool = False) -> None:
        answer, now = connection.answer, self._now()
        assert answer is not None
        status = LOST if lost else answer.status
        self._rows.append((status, connection.due, connection.sent, now))
        self._busy -= 1
        self._unanswered -= connection.first and self._again
        connection.answer, connection.first = None, False
        if lost or answer.closes or connection.sending:
            self._replace(connection)
        else:
            self._selector.modify(connection.socket, connection.wants, connection)
            self._idle.append(connection)
        if self._again:
            heapq.heappush(self._due, now + (answer.retry_after if status == 503 else 0.0))

    def _open(self, first: bool = True) -> None:
        connection = _Connection(self._address)
        connection.first = first
        self._selector.register(connection.socket, connection.wants, connection)
        self._idle.append(connection)

    def _replace(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._reopened += 1
        self._open(first=connection.first)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
