"""A worker that is killed takes along what it was computing, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.http_clients import MODES, NONE, READY, Client, Crowd, running, sample, wait_until
from tests.memory import process_tree
from tests.running_server import SECONDS, Server

CLIENTS = 4


def workers(server: Server) -> frozenset[int]:
    return process_tree(server.process.pid) - {server.process.pid}


def kill_one(server: Server) -> int:
    """Which one."""
    killed = min(workers(server))
    os.kill(killed, signal.SIGKILL)
    return killed


def await_workers(server: Server, count: int, killed: int = 0) -> None:
    """Until there are so many that are ready."""
    wait_until(lambda: len(workers(server) - {killed}) == count)
    wait_until(lambda: server.log.count("Service phototriage initialized") >= count + (killed > 0))


def assert_few_lost(crowd: Crowd) -> None:
    """At most what each client had on its way when the worker was killed."""
    assert set(crowd.statuses) <= {200, NONE}
    lost = [each for each in crowd.outcomes if each.status == NONE]
    assert len(lost) <= CLIENTS
    assert len({each.opened for each in lost}) == len(lost)


def assert_well(server: Server, count: int) -> None:
    """On connections of their own, since each connection has one worker."""
    for _ in range(10):
        with closing(Client(server)) as client:
            assert client(READY).status == 200
            assert client().status == 200
    assert sample(server, "phototriage_requests_total", code="500", route="/v1/classify") == 0
    assert len(workers(server)) == count
    assert server.stop() == 0


def test_the_only_worker_is_replaced(models_directory: Path, tmp_path: Path) -> None:
    """Who comes meanwhile waits."""
    with running(tmp_path, models_directory, MODES["one worker"]) as server:
        with Crowd(server, CLIENTS) as crowd, closing(Client(server)) as late:
            crowd.await_answers(5)
            killed = kill_one(server)
            wait_until(lambda: killed not in workers(server))
            begun = time.monotonic()
            assert late(READY).status == 200
            assert workers(server) - {killed}
            crowd.await_answers(5)
        assert_few_lost(crowd)
        assert not [each for each in crowd.outcomes if each.opened > begun and each.status != 200]
        assert_well(server, 1)


def test_of_two_workers_the_other_goes_on(models_directory: Path, tmp_path: Path) -> None:
    with running(tmp_path, models_directory, MODES["two workers"]) as server:
        await_workers(server, 2)
        with Crowd(server, CLIENTS) as crowd, Crowd(server, CLIENTS, READY, pause=0.05) as looking:
            crowd.await_answers(5)
            looking.await_answers(2)
            killed, begun = kill_one(server), time.monotonic()
            await_workers(server, 2, killed)
            replaced = time.monotonic()
            crowd.await_answers(5)
        for outcomes in crowd.outcomes, looking.outcomes:
            assert any(begun < each.sent and each.done < replaced for each in outcomes if each.status == 200)
        assert_few_lost(crowd)
        assert_few_lost(looking)
        assert_well(server, 2)


def test_a_container_ends_with_its_worker(models_directory: Path, tmp_path: Path) -> None:
    """Its platform starts another one."""
    with (
        running(tmp_path, models_directory, MODES["container"]) as server,
        Crowd(server, CLIENTS, give_up=True) as crowd,
    ):
        crowd.await_answers(5)
        kill_one(server)
        assert server.process.wait(SECONDS) not in (0, None)
    assert_few_lost(crowd)


@pytest.mark.parametrize("mode", ["one worker", "two workers"])
def test_metrics_forget_a_killed_worker(models_directory: Path, tmp_path: Path, mode: str) -> None:
    count = int(MODES[mode]["PHOTOTRIAGE_WORKERS"])
    with running(tmp_path, models_directory, MODES[mode]) as server:
        await_workers(server, count)
        assert sample(server, "phototriage_ready") == count
        killed = kill_one(server)
        await_workers(server, count, killed)
        assert sample(server, "phototriage_ready") == count
