from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phototriage.runtime import in_flight
from phototriage.runtime.sessions import Sessions
from phototriage.server.work_queue import WorkQueue
from phototriage.settings import Settings
from tests.tiny_models import LABELS, SIDE_LENGTH, tiny_graph

INPUTS: dict[str, NDArray[Any]] = {
    "images": np.full((1, SIDE_LENGTH, SIDE_LENGTH, 3), (255, 51, 0), np.uint8),
    "output_weights": np.ones((1, len(LABELS)), np.float32),
}


def sessions(**settings: Any) -> Sessions:
    return Sessions(tiny_graph().SerializeToString(), "tiny", Settings(provider="cpu", **settings))


class Spy:
    """A session that tells that it was run."""

    def __init__(self, session: Any, told: list[str], name: str) -> None:
        self._session, self._told, self._name = session, told, name

    def run(self, *arguments: Any) -> Any:
        self._told.append(self._name)
        return self._session.run(*arguments)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def spied(told: list[str]) -> Sessions:
    spied = sessions(threads=2, model_runs=2)
    spied.shared = Spy(spied.shared, told, "shared")
    spied._alone = Spy(spied._alone, told, "alone")
    return spied


def run(spied: Sessions) -> list[float]:
    logits: list[float] = spied.run(["logits"], INPUTS)[0][0].tolist()
    return logits


def test_a_run_that_is_alone_has_all_threads_and_gives_the_same(spied: Sessions, told: list[str]) -> None:
    nobody = run(spied)
    with in_flight.counted():  # which is the caller itself
        itself = run(spied)
        with in_flight.counted():
            others = run(spied)
    assert told == ["alone", "alone", "shared"]
    assert nobody == itself == others == pytest.approx([10, 2, 0])


def test_all_are_warmed_up(spied: Sessions, told: list[str]) -> None:
    spied.warm_up(["logits", "gradient"], INPUTS)
    assert told == ["shared"] * 3 + ["alone"] * 3


@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 2}, {"threads": 2, "model_runs": 1}])
def test_there_is_one_session_where_a_run_has_all_threads_anyway(settings: dict[str, int]) -> None:
    assert sessions(**settings)._alone is None


def test_work_is_counted_until_it_is_done_or_called_off() -> None:
    assert in_flight.is_alone()
    work: list[Future[int]] = [Future(), Future(), Future()]
    for each in work:
        in_flight.follow(each)
    assert not in_flight.is_alone()
    work[0].cancel()
    assert not in_flight.is_alone()
    work[1].set_running_or_notify_cancel()
    work[1].set_exception(ValueError())
    assert in_flight.is_alone()  # but for the last
    work[2].set_result(1)
    assert in_flight.is_alone()


def test_a_queue_counts_its_work_and_what_is_done_aside() -> None:
    queue, hold = WorkQueue(2), threading.Event()

    def helped() -> bool:
        later = queue.aside(hold.wait)  # in the other thread, and not before it is let go
        alone = in_flight.is_alone()
        hold.set()
        later()
        return alone

    async def ask() -> list[bool]:
        deadline = asyncio.get_running_loop().time() + 30
        return [await queue.run(each, deadline) for each in (in_flight.is_alone, helped, in_flight.is_alone)]

    assert asyncio.run(ask()) == [True, False, True]
    queue.close()
