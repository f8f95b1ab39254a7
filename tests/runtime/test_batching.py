from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.common.errors import DeadlineExceeded
from phototriage.runtime.batching import Batcher

SECONDS = 10.0  # for anything to happen on a busy machine


def rows(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, np.newaxis]


class Doubling:
    """A run that doubles, notes what came in, and waits for leave."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []
        self.began = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.running = self.most_running = 0
        self._lock = threading.Lock()

    def __call__(self, given: NDArray[Any]) -> list[NDArray[Any]]:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            self.seen.append(given[:, 0].tolist())
        self.began.release()
        assert self.leave.acquire(timeout=SECONDS)
        with self._lock:
            self.running -= 1
        if (given < 0).any():
            raise ValueError("negative")
        return [given * 2]


def at_once(batcher: Batcher, run: Doubling, *calls: Callable[[], Any]) -> tuple[list[threading.Thread], list[Any]]:
    """Begin the calls one after another; what they gave or raised comes into the list."""
    found: list[Any] = [None] * len(calls)

    def note(place: int, call: Callable[[], Any]) -> None:
        try:
            found[place] = call()
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=note, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        came = batcher.waiting + len(run.seen)
        thread.start()
        end = time.monotonic() + SECONDS
        while batcher.waiting + len(run.seen) == came and time.monotonic() < end:
            time.sleep(0.001)  # so that they come in this order
    return threads, found


def test_an_idle_batcher_computes_in_the_callers_own_thread() -> None:
    threads = []

    def run(given: NDArray[Any]) -> list[NDArray[Any]]:
        threads.append(threading.get_ident())
        return [given + 1]

    (found,) = Batcher(run, "x")(rows(1, 2))
    assert found.tolist() == [[2], [3]]
    assert threads == [threading.get_ident()]


def test_calls_that_wait_share_the_next_run_and_each_gets_its_own_rows() -> None:
    run = Doubling()
    batcher = Batcher(run, "x", lanes=1, most=3)
    calls = [lambda value=value: batcher(rows(value))[0][:, 0].tolist() for value in range(5)]
    threads, found = at_once(batcher, run, *calls)
    for _ in range(3):
        run.leave.release()
    for thread in threads:
        thread.join(SECONDS)
    assert found == [[0], [2], [4], [6], [8]]
    assert run.seen == [[0], [1, 2, 3], [4]]
    assert run.most_running == 1


def test_so_many_runs_at_once_as_there_are_lanes() -> None:
    run = Doubling()
    batcher = Batcher(run, "x", lanes=2)
    threads, found = at_once(
        batcher, run, *[lambda value=value: batcher(rows(value))[0].tolist() for value in range(4)]
    )
    for _ in range(2):
        assert run.began.acquire(timeout=SECONDS)
    assert run.running == 2
    for _ in range(4):
        run.leave.release()
    for thread in threads:
        thread.join(SECONDS)
    assert found == [[[0]], [[2]], [[4]], [[6]]]
    assert run.most_running == 2


def test_one_that_fails_fails_alone() -> None:
    run = Doubling()
    batcher = Batcher(run, "x", most=8)
    threads, found = at_once(
        batcher, run, *[lambda value=value: batcher(rows(value))[0].tolist() for value in (0, 1, -1, 3)]
    )
    for _ in range(5):
        run.leave.release()
    for thread in threads:
        thread.join(SECONDS)
    assert found[0] == [[0]]
    assert found[1] == [[2]]
    assert isinstance(found[2], ValueError)
    assert found[3] == [[6]]
    assert run.seen == [[0], [1, -1, 3], [1], [-1], [3]]


def test_a_call_that_waited_until_its_deadline_never_runs() -> None:
    run = Doubling()
    batcher = Batcher(run, "x", most=8)
    threads, found = at_once(
        batcher,
        run,
        lambda: batcher(rows(0)),
        lambda: batcher(rows(1), deadline=time.monotonic() + 0.2),
        lambda: batcher(rows(2)),
    )
    threads[1].join(SECONDS)
    assert isinstance(found[1], DeadlineExceeded)
    run.leave.release()
    run.leave.release()
    for thread in threads:
        thread.join(SECONDS)
    assert run.seen == [[0], [2]]


def test_a_call_whose_deadline_is_over_never_begins() -> None:
    run = Doubling()
    with pytest.raises(DeadlineExceeded):
        Batcher(run, "x")(rows(0), deadline=time.monotonic())
    assert run.seen == []


def test_rows_of_another_shape_are_not_joined_and_a_large_call_runs_alone() -> None:
    run = Doubling()
    batcher = Batcher(run, "x", most=2)
    wide = np.ones((1, 2), np.float32)
    threads, found = at_once(
        batcher,
        run,
        lambda: batcher(rows(0)),
        lambda: batcher(rows(1)),
        lambda: batcher(wide),
        lambda: batcher(rows(3, 4, 5)),
    )
    for _ in range(4):
        run.leave.release()
    for thread in threads:
        thread.join(SECONDS)
    assert [len(seen) for seen in run.seen] == [1, 1, 1, 3]
    assert [each[0].shape for each in found] == [(1, 1), (1, 1), (1, 2), (3, 1)]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8)])
def test_buckets_are_filled_and_the_filling_is_not_given_back(count: int, size: int) -> None:
    seen = []

    def run(given: NDArray[Any]) -> list[NDArray[Any]]:
        seen.append(len(given))
        return [given * 2]

    (found,) = Batcher(run, "x", buckets=True)(rows(*range(count)))
    assert found[:, 0].tolist() == [2 * value for value in range(count)]
    assert seen == [size]
