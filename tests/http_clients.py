"""Clients that ask in a closed loop, each a thread with a connection that it keeps, and what became of every request.

A request is lost where its connection ended before its answer did and the server may have read its head. It may not
have where the connection was opened after the server was told to stop, since such a one can be left in the kernel's
queue; nor where a kept one had been idle for so long that the server could close it while the request was on its way.
Every other request counts: those on connections of before the stop, and those that got a part of an answer.
"""

from __future__ import annotations

import re
import select
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from operator import ge
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Self

import httpx

from phototriage.server.connections import DRAIN_SECONDS
from tests.running_server import SECONDS, Server
from tests.tiny_models import solid

NONE = 0  # the status of a request that got no whole answer
RED = solid((255, 0, 0))

MODES = {
    "one worker": {"PHOTOTRIAGE_WORKERS": "1"},
    "two workers": {"PHOTOTRIAGE_WORKERS": "2"},
    "container": {"BENTOML_CONTAINERIZED": "true"},
}


@dataclass(frozen=True)
class Ask:
    """A request."""

    path: str = "/v1/classify"
    body: bytes | None = RED
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "image/png"})


READY, ALIVE, METRICS = (Ask(path, None, {}) for path in ("/readyz", "/livez", "/metrics"))


@dataclass(frozen=True)
class Outcome:
    """What became of a request; times by the monotonic clock."""

    ask: Ask
    status: int
    sent: float
    done: float
    opened: float  # when its connection was
    idle: float  # seconds that the connection had had nothing to do
    closes: bool  # the answer says that it is the connection's last
    headers: Mapping[str, str]
    body: bytes

    def lost(self, stopped: float = float("inf")) -> bool:
        """Whether an answer was due that didn't come, of a server that was told to stop at that time."""
        return self.status == NONE and self.opened < stopped and self.idle < DRAIN_SECONDS / 2


class Client:
    """One connection, opened again where the server has closed it."""

    def __init__(self, server: Server) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
        self._opened = self._free = monotonic()

    def __call__(self, ask: Ask = Ask()) -> Outcome:
        """Raises TimeoutError where nothing comes at all."""
        self._close_if_ended()
        if self._connection.sock is None:
            self._opened = self._free = monotonic()
        sent, status, closes = monotonic(), NONE, True
        headers: dict[str, str] = {}
        body = b""
        try:
            self._connection.request("POST" if ask.body is not None else "GET", ask.path, ask.body, dict(ask.headers))
            answer = self._connection.getresponse()
            closes, headers = answer.will_close, {name.lower(): value for name, value in answer.getheaders()}
            body = answer.read()
            status = answer.status
        except TimeoutError:
            raise
        except (OSError, HTTPException):
            self.close()
        idle, self._free = sent - self._free, monotonic()
        return Outcome(ask, status, sent, self._free, self._opened, idle, closes, headers, body)

    def close(self) -> None:
        self._connection.close()

    def _close_if_ended(self) -> None:
        """So that no request goes out on a connection of which it can be known that the server has closed it."""
        if self._connection.sock is not None and select.select([self._connection.sock], [], [], 0)[0]:
            self._connection.close()


class Crowd:
    """Clients that ask until they are told to stop, or as long as the server answers where they are to `give_up`."""

    def __init__(
        self, server: Server, count: int, ask: Ask | None = None, pause: float = 0.0, give_up: bool = False
    ) -> None:
        self._server, self._ask, self._pause, self._give_up = server, ask or Ask(), pause, give_up
        self._stop = Event()
        self._failures: list[BaseException] = []
        self._threads = [Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]
        self._counts = [0] * count
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * SECONDS)
        assert error is not None or not any(thread.is_alive() for thread in self._threads), "a client never ended"
        if error is None and self._failures:
            raise self._failures[0]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(each.status for each in list(self.outcomes))

    @property
    def connections(self) -> dict[float, list[Outcome]]:
        """What became of requests in their order, by when their connection was opened."""
        found: dict[float, list[Outcome]] = {}
        for each in list(self.outcomes):
            found.setdefault(each.opened, []).append(each)
        return found

    def await_answers(self, count: int = 1) -> list[Outcome]:
        """What becomes of the next requests, at least so many of each client."""
        before, due = len(self.outcomes), [had + count for had in self._counts]
        wait_until(lambda: all(map(ge, self._counts, due)) or bool(self._failures))
        return self.outcomes[before:]

    def _run(self, index: int) -> None:
        client = Client(self._server)
        try:
            while not self._stop.wait(self._pause):
                outcome = client(self._ask)
                self.outcomes.append(outcome)
                self._counts[index] += 1
                if outcome.status == NONE:
                    if self._give_up:
                        return
                    sleep(0.05)
        except BaseException as error:  # it is raised in the thread that waits for this one
            self._failures.append(error)
        finally:
            client.close()


@contextmanager
def running(folder: Path, models_directory: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """A server that is ready, and ends with the block."""
    server = Server(folder, models_directory, **environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"not within {seconds} s"
        sleep(0.02)


def answered(server: Server, route: str) -> Counter[int]:
    """Answers by status that the server's log tells of, a line each."""
    return Counter(int(each) for each in re.findall(rf'"route": "{route}", "status": (\d+)', server.log))


def sample(server: Server, name: str, **labels: str) -> float:
    """The value of a metric; 0 where it isn't counted yet."""
    text = httpx.get(server.address + "/metrics", timeout=SECONDS).text
    return values(text).get((name, frozenset(labels.items())), 0.0)


def values(exposition: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Metrics in Prometheus's text format, by name and labels."""
    found = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", exposition, re.MULTILINE)
    return {
        (name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value)
        for name, labels, value in found
        if not name.startswith("#")
    }
