"""Good and bad images, all routes and aborted uploads for a long time; whether the server's memory grows.

`python -m tests.soak --minutes 30`. Memory is the proportional set size (PSS) of all processes of the server, once a
second. Its slope over the second half is a least-squares fit. Memory goes up and down in steps that last, so that
seconds near one another say the same: the interval counts only as many of them as their correlation leaves.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as students

from tests.hostile_files import bad_files, good_files
from tests.hostile_requests import BATCH, FORM, PARTS, form, request
from tests.http_clients import ALIVE, METRICS, NONE, READY, Ask, Client, running
from tests.memory import process_tree, resident_bytes
from tests.running_server import SECONDS, Server
from tests.scored_models import write_scored
from tests.tiny_models import write_embedder

CLIENTS = 4
BAD_SHARE, ABORTED_SHARE, OTHER_SHARE = 0.2, 0.05, 0.05
BATCH_IMAGES = 4
LIMIT = 0.1  # MB for 1000 requests, which is 100 bytes each
MB = 1e6
OTHERS = [ALIVE, READY, METRICS, *(Ask(path, None, {}) for path in ("/v1/models", "/docs.json", "/nothing"))]
PART = 'Content-Disposition: form-data; name="{}"; filename="a"'


class Slope(NamedTuple):
    """A slope with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4g} ({self.low:+.4g} to {self.high:+.4g})"


class Sample(NamedTuple):
    seconds: float  # since the begin
    requests: int  # answered by then
    megabytes: float


@dataclass
class Soak:
    """What a soak has come to."""

    samples: list[Sample] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)  # by path and status
    aborted: int = 0

    @property
    def failed(self) -> dict[tuple[str, int], int]:
        """Requests that got no answer, or that of a bug."""
        return {key: count for key, count in self.statuses.items() if key[1] in (NONE, 500)}

    @property
    def by_requests(self) -> Slope:
        """MB for 1000 requests, over the second half of the time."""
        half = self._second_half()
        return slope(half[:, 1] / 1000, half[:, 2])

    @property
    def by_time(self) -> Slope:
        """MB an hour, over the second half of the time."""
        half = self._second_half()
        return slope(half[:, 0] / 3600, half[:, 2])

    def _second_half(self) -> NDArray[np.float64]:
        return np.array(self.samples[len(self.samples) // 2 :], float)


def slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> Slope:
    """The least-squares slope of y (n,) against ascending x (n,).

    With a correlation r of each residual with the next, n of them are worth n · (1 − r) / (1 + r) independent ones
    (Santer et al. 2000, J. Geophys. Res. 105), but here three at least, whose interval is wide enough by its 12.7
    standard errors; with fewer it would be infinite, and a leak that isn't quite straight would never be told.
    """
    n = len(x)
    if n < 3 or np.ptp(x) == 0:
        return Slope(float("nan"), float("-inf"), float("inf"))
    off = x - x.mean()
    spread = float(off @ off)
    value = float(off @ y) / spread
    residuals = y - y.mean() - value * off
    squares = float(residuals @ residuals)
    if squares <= 1e-18 * n * max(1.0, float(np.abs(y).max()) ** 2):  # of a straight line nothing but rounding is left
        return Slope(value, value, value)
    correlation = max(0.0, float(residuals[1:] @ residuals[:-1]) / squares)
    worth = max(3.0, n * (1 - correlation) / (1 + correlation))
    half = float(students.ppf(0.975, worth - 2)) * (squares / (worth - 2) / spread) ** 0.5
    return Slope(value, value - half, value + half)


@cache
def images() -> tuple[list[bytes], list[bytes]]:
    """Good ones and bad ones."""
    return list(good_files().values()), [data for name, (data, *_) in bad_files().items() if name != "bytes"]  # 20 MB


def asks(seed: int) -> Iterator[Ask | bytes]:
    """Requests without end; bytes are one that is broken off after them."""
    chance = random.Random(seed)
    good, bad = images()

    def image() -> bytes:
        return chance.choice(bad if chance.random() < BAD_SHARE else good)

    while True:
        what = chance.random()
        if what < ABORTED_SHARE:
            whole = request(image())
            yield whole[: chance.randrange(1, len(whole))]
        elif what < ABORTED_SHARE + OTHER_SHARE:
            yield chance.choice(OTHERS)
        else:
            path, parts = chance.choice(list(PARTS.items()))
            names = parts[:1] * BATCH_IMAGES if path == BATCH else parts
            if len(names) == 1 and chance.random() < 0.5:
                yield Ask(path, image())
            else:
                body = form(*((PART.format(name).encode(), image()) for name in names))
                yield Ask(path, body, {"content-type": FORM.decode()})


def run(server: Server, seconds: float, seed: int = 0) -> Soak:
    """Ask for so long. Raises what a client raises."""
    soak, lock, stop = Soak(), Lock(), Event()
    failures: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            with closing(Client(server)) as client:
                for each in asks(seed * CLIENTS + number):
                    if stop.is_set():
                        return
                    if isinstance(each, bytes):
                        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
                            connection.sendall(each)
                        with lock:
                            soak.aborted += 1
                        continue
                    outcome = client(each)
                    with lock:
                        soak.statuses[each.path, outcome.status] += 1
        except BaseException as error:
            failures.append(error)

    images()
    threads = [Thread(target=ask, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    began = monotonic()
    while (passed := monotonic() - began) < seconds and not failures:
        with lock:
            requests = soak.statuses.total() + soak.aborted
        soak.samples.append(Sample(passed, requests, resident_bytes(process_tree(server.process.pid)) / MB))
        stop.wait(1)
    stop.set()
    for thread in threads:
        thread.join(SECONDS)
    if failures:
        raise failures[0]
    return soak


def table(soak: Soak, rows: int = 20) -> str:
    """Memory over time, answers by path and status, and the slopes."""
    chosen = soak.samples[:: max(1, len(soak.samples) // rows)]
    lines = ["| minutes | requests | PSS, MB |", "| ---: | ---: | ---: |"]
    lines += [f"| {one.seconds / 60:.1f} | {one.requests} | {one.megabytes:.1f} |" for one in chosen]
    lines += ["", "| path | answers by status |", "| --- | --- |"]
    for path in sorted({path for path, _ in soak.statuses}):
        counts = sorted((status, count) for (of, status), count in soak.statuses.items() if of == path)
        told = ", ".join(f"{status or 'none'}: {count}" for status, count in counts)
        lines.append(f"| {path} | {told} |")
    return "\n".join(
        [
            *lines,
            "",
            f"broken off: {soak.aborted}",
            f"MB for 1000 requests, second half (95 %): {soak.by_requests}",
            f"MB an hour, second half (95 %): {soak.by_time}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 1 where memory grows for certain, or a request got no answer or that of a bug."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--models", type=Path, help="folder of model folders; default: tiny ones, made for this")
    parser.add_argument("--limit", type=float, default=LIMIT, help="MB for 1000 requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        models = given.models
        if models is None:
            models = Path(place) / "models"
            write_scored(models)
            write_embedder(models / "tiny_embedder")
        with running(Path(place), models.absolute(), {}) as server:
            soak = run(server, given.minutes * 60, given.seed)
            traces = server.log.count("Traceback")
    print(table(soak))
    grown = soak.by_requests.low > given.limit
    print(f"limit: {given.limit} MB for 1000 requests: {'exceeded' if grown else 'kept'}")
    if soak.failed or traces:
        print(f"failed: {soak.failed}, tracebacks in the log: {traces}")
    return int(grown or bool(soak.failed) or traces > 0)


if __name__ == "__main__":
    sys.exit(main())
