"""SIGTERM under load: every request that was accepted is answered. What counts as lost, tests/http_clients.py says."""

from __future__ import annotations

import signal
import socket
import time
from collections import Counter
from contextlib import closing
from functools import cache
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.http_answer import Answer
from phototriage.server.connections import DRAIN_SECONDS
from tests.hostile_requests import FORM, form, request
from tests.http_clients import MODES, NONE, READY, RED, Ask, Client, Crowd, Outcome, answered, running
from tests.running_server import SECONDS, Server
from tests.tiny_models import solid

SLOW_IMAGES = 4
HALF = len(RED) // 2
PART = b'Content-Disposition: form-data; name="images"; filename="a.png"'

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@cache
def slow() -> Ask:
    """Takes a thread some seconds, and is a few hundred KB."""
    large = (PART, solid((255, 0, 0), 7000, 7000))  # as many pixels as one may have, but for a few
    return Ask("/v1/triage/batch", form(*[large] * SLOW_IMAGES), {"content-type": FORM.decode()})


def terminate(server: Server) -> float:
    """When the server was told to stop. It tells its workers itself."""
    stopped = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    return stopped


def receive(connection: socket.socket) -> Answer:
    answer = Answer()
    while not answer.complete and (data := connection.recv(1 << 16)):
        answer.feed(data)
    return answer


def assert_ended_well(server: Server) -> None:
    assert server.process.wait(2 * SECONDS) == 0
    assert "Traceback" not in server.log


@every_mode
def test_clients_in_a_closed_loop_lose_nothing(models_directory: Path, tmp_path: Path, mode: dict[str, str]) -> None:
    """They see answers, of which a connection's last says so, and then that nobody takes a new connection."""
    with running(tmp_path, models_directory, mode) as server, Crowd(server, 4, give_up=True) as crowd:
        crowd.await_answers(20)
        stopped = terminate(server)
        assert_ended_well(server)
    assert set(crowd.statuses) <= {200, NONE}
    assert not [each for each in crowd.outcomes if each.lost(stopped)]
    assert any(each.done > stopped for each in crowd.outcomes if each.status == 200)
    for outcomes in crowd.connections.values():
        assert not any(each.closes for each in outcomes[:-1])
        if outcomes[0].opened < stopped:
            assert outcomes[-1].closes
    # The server, too, has answered just as many.
    assert answered(server, "/v1/classify") == Counter({200: crowd.statuses[200]})


@every_mode
def test_readyz_says_so_on_kept_connections(models_directory: Path, tmp_path: Path, mode: dict[str, str]) -> None:
    with (
        running(tmp_path, models_directory, mode) as server,
        Crowd(server, 4, give_up=True) as crowd,
        Crowd(server, 4, READY, pause=DRAIN_SECONDS / 20, give_up=True) as looking,
    ):
        crowd.await_answers()
        looking.await_answers(2)
        stopped = terminate(server)
        assert_ended_well(server)
    assert not [each for each in looking.outcomes if each.lost(stopped)]
    assert set(looking.statuses) == {200, 503, NONE}
    for each in looking.outcomes:
        if each.status == 503:
            assert each.done > stopped
            assert each.closes
            assert b"The server is stopping" in each.body
            assert each.headers["retry-after"] == "1"
    # Whoever was told so wasn't told otherwise later, by that worker.
    for outcomes in looking.connections.values():
        assert all(each.status == 200 for each in outcomes[:-1])


@every_mode
def test_what_takes_longer_than_the_server_waits_for_idle_connections(
    models_directory: Path, tmp_path: Path, mode: dict[str, str]
) -> None:
    """Work that goes on, and a body that still comes in."""
    environment = {"PHOTOTRIAGE_DEADLINE_SECONDS": "60"} | mode
    slow_answers: list[Outcome] = []
    long, whole = slow(), request().replace(b"Connection: close\r\n", b"")
    with (
        running(tmp_path, models_directory, environment) as server,
        closing(Client(server)) as client,
        socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection,
        Crowd(server, 2, give_up=True) as crowd,
    ):
        crowd.await_answers(5)
        # An answer first, so that it is sure that the connections were accepted.
        assert client().status == 200
        connection.sendall(whole)
        assert receive(connection).status == 200
        asking = Thread(target=lambda: slow_answers.append(client(long)), daemon=True)
        asking.start()
        connection.sendall(whole[:-HALF])
        time.sleep(DRAIN_SECONDS / 4)
        stopped = terminate(server)
        time.sleep(2 * DRAIN_SECONDS)
        connection.sendall(whole[-HALF:])
        answer = receive(connection)
        asking.join(2 * SECONDS)
        assert_ended_well(server)
    assert (answer.status, answer.complete, answer.closes) == (200, True, True)
    (found,) = slow_answers
    assert (found.status, found.closes) == (200, True)
    assert found.sent < stopped < found.done
    assert found.body.count(b'"label":"red"') >= SLOW_IMAGES
    assert not [each for each in crowd.outcomes if each.lost(stopped)]
    assert set(crowd.statuses) <= {200, NONE}
