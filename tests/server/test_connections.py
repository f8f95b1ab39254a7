"""Connections that a client breaks off, leaves half open or feeds by the byte; and many at once, good and bad."""

from __future__ import annotations

import http.client
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.hostile_files import bad_files
from tests.hostile_requests import FORM, IMAGE, RED, form, request
from tests.memory import process_tree
from tests.running_server import SECONDS, Server
from tests.scored_models import write_scored
from tests.tiny_models import solid, write_embedder

DEADLINE = 1  # seconds, of the server that is called hasty
CUT_WITHIN = 6  # seconds: the deadline, a margin of two, and what a busy machine adds
CLIENTS = 16
COLOURS = {"red": RED, "green": solid((0, 255, 0)), "blue": solid((0, 0, 255))}

WHOLE = request()
HEAD = WHOLE.removesuffix(RED)
KEPT = WHOLE.replace(b"Connection: close\r\n", b"")
ENDS = {"nothing": 0, "half a line": 10, "half the headers": 60, "the headers": len(HEAD), "half a body": -50}

Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    servers: list[Server] = []

    def run(**environment: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        write_scored(folder / "models")
        write_embedder(folder / "models" / "tiny_embedder")
        servers.append(Server(folder, folder / "models", **environment))
        servers[-1].wait_until_ready()
        return servers[-1]

    yield run
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A server whose queue holds what all clients send at once."""
    return start(PHOTOTRIAGE_THREADS="4")


@pytest.fixture(scope="module")
def hasty(start: Start) -> Server:
    return start(PHOTOTRIAGE_DEADLINE_SECONDS=str(DEADLINE))


def assert_unharmed(server: Server, processes: frozenset[int]) -> None:
    """The server is the same processes as before, answers right, counts, and has no failure of its own."""
    assert process_tree(server.process.pid) == processes
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        for path in ("/livez", "/readyz"):
            assert client.get(path).status_code == 200
        for label, image in COLOURS.items():
            assert post(client, "/v1/classify", image=image)["label"] == label
        assert 'phototriage_requests_total{code="200",route="/v1/classify"}' in client.get("/metrics").text
        assert 'code="500"' not in client.get("/metrics").text


@pytest.fixture
def unharmed(server: Server) -> Iterator[None]:
    processes, logged = process_tree(server.process.pid), len(server.log)
    yield
    assert_unharmed(server, processes)
    assert "Traceback" not in server.log[logged:]


@pytest.fixture
def hasty_unharmed(hasty: Server) -> Iterator[None]:
    processes, logged = process_tree(hasty.process.pid), len(hasty.log)
    yield
    assert_unharmed(hasty, processes)
    assert "Traceback" not in hasty.log[logged:]


def post(client: httpx.Client, path: str, **files: bytes) -> dict[str, Any]:
    """The answer to the files, asked for again as long as a busy machine has the server say that it is too busy."""
    for _ in range(SECONDS):
        answer = client.post(path, files={name: ("a", data) for name, data in files.items()})
        if answer.status_code not in (503, 504):
            break
        time.sleep(1)
    told: dict[str, Any] = answer.json()
    return told


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes. Raises TimeoutError if it doesn't."""
    data = bytearray()
    with suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            data += piece
    return bytes(data)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("end", [*ENDS.values(), len(WHOLE)], ids=[*ENDS, "all"])
@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_goes_away(server: Server, end: int, how: str) -> None:
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(WHOLE[:end])
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif how == "half-close":
                connection.shutdown(socket.SHUT_WR)
                answer = received(connection)
                # Whether a whole request is answered depends on which of the two is faster.
                assert answer == b"" or (end == len(WHOLE) and answer.startswith(b"HTTP/1.1 200 "))


@pytest.mark.usefixtures("unharmed")
def test_uploads_that_go_away_give_their_places_back(server: Server) -> None:
    """Of 64 places: if each of 120 uploads kept one, the next would get 503."""
    for _ in range(3):
        connections = [connect(server) for _ in range(40)]
        for connection in connections:
            connection.sendall(WHOLE[:-50])
        for connection in connections:
            connection.close()


def test_a_client_that_goes_away_before_the_first_of_two_answers(server: Server) -> None:
    logged = len(server.log)
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(KEPT * 2 + KEPT[:50])
            connection.shutdown(socket.SHUT_WR)
            received(connection)
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        assert post(client, "/v1/classify", image=RED)["label"] == "red"
    assert "Traceback" not in server.log[logged:]


@pytest.mark.usefixtures("unharmed")
def test_answers_without_a_body_are_sent_and_leave_the_connection_open(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)) as connection:
        for _ in range(2):
            connection.request("HEAD", "/readyz")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            first = connection.sock
        connection.request("GET", "/readyz")
        assert connection.getresponse().read()
        assert connection.sock is first


def drip(connection: socket.socket, data: bytes) -> bytes:
    """Send byte by byte, slower than the deadline allows, and then nothing, until the server answers or closes.

    Gives what came. Raises TimeoutError if the server did neither within CUT_WITHIN seconds.
    """
    end, sent = time.monotonic() + CUT_WITHIN, 0
    while time.monotonic() < end:
        readable, _, _ = select.select([connection], [], [], 0.1)
        if readable:
            with suppress(ConnectionError):
                return connection.recv(1 << 16)
            return b""
        with suppress(ConnectionError):
            connection.sendall(data[sent : sent + 1])
        sent += 1
    raise TimeoutError(f"open after {CUT_WITHIN} s and {min(sent, len(data))} bytes")


PAIR = form(*((IMAGE.replace(b'"image"', b'"image_%b"' % side), RED) for side in (b"a", b"b")))
BODIES = {
    "raw": (HEAD, RED),
    "raw, of nothing more": (HEAD, b""),
    "form": (request(form((IMAGE, RED)), content_type=FORM)[:-150], RED),
    "chunks": (request(b"", b"Transfer-Encoding: chunked", length=False), b"1\r\nx\r\n" * 100),
    "two images": (request(PAIR, target=b"/v1/duplicates", content_type=FORM)[:-150], RED),
}


@pytest.mark.usefixtures("hasty_unharmed")
@pytest.mark.parametrize("name", BODIES)
def test_slow_bodies_are_cut_with_504(hasty: Server, name: str) -> None:
    start, rest = BODIES[name]
    with connect(hasty) as connection:
        connection.sendall(start)
        answer = drip(connection, rest) + received(connection)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"application/problem+json" in answer
    assert b'"code":"deadline_exceeded"' in answer


HEADERS = {  # sent at once, and then byte by byte
    "half a line": (HEAD[:10], b""),
    "half of them": (HEAD[:60], b""),
    "all but a byte": (HEAD[:-1], b""),
    "byte by byte": (b"", HEAD),
    "more and more": (HEAD[:-4], b"\r\nX: x" * 100),
}


@pytest.mark.usefixtures("hasty_unharmed")
def test_slow_headers_are_cut(hasty: Server) -> None:
    """Of the first request of a connection and of a later one; with 408, or without an answer."""

    def failure(name: str, before: bytes, at_once: bytes, rest: bytes) -> str:
        with connect(hasty) as connection:
            connection.sendall(before)
            while before and not (connection.recv(1 << 16)).endswith(b"}"):
                pass
            connection.sendall(at_once)
            try:
                answer = drip(connection, rest)
            except TimeoutError as error:
                return f"{name}: {error}"
            answer += received(connection)
            return "" if answer == b"" or answer.startswith(b"HTTP/1.1 408 ") else f"{name}: {answer!r}"

    first = {f"first: {name}": (b"", *sent) for name, sent in {"nothing": (b"", b""), **HEADERS}.items()}
    second = {f"second: {name}": (KEPT, *sent) for name, sent in HEADERS.items()}
    with ThreadPoolExecutor(CLIENTS) as pool:
        failures = list(pool.map(lambda case: failure(case[0], *case[1]), (first | second).items()))
    assert not [each for each in failures if each]


@dataclass(frozen=True)
class Job:
    """Files to send, and what the JSON that answers them has to say."""

    path: str
    files: dict[str, bytes]
    expected: dict[str, Any]

    def wrong(self, client: httpx.Client) -> str:
        """What is wrong with the answer, or nothing."""
        answer = post(client, self.path, **self.files)
        return "" if self.expected.items() <= answer.items() else f"{self.path}: {answer}, not {self.expected}"


def jobs() -> list[Job]:
    """Good and bad images in a mixed order; every answer can be told from those to others."""
    bad = {name: file for name, file in bad_files().items() if name != "bytes"}  # 20 MB
    told = [
        Job("/v1/classify", {"image": data}, {"status": status, "code": code}) for data, status, code in bad.values()
    ]
    for label, image in COLOURS.items():
        told += [Job("/v1/classify", {"image": image}, {"label": label})] * 60
        told += [Job("/v1/saliency", {"image": image}, {"target": label, "width": 16})] * 10
        told += [Job("/v1/difficulty", {"image": image}, {"review": False})] * 5
        for other, second in COLOURS.items():
            pair = {"image_a": image, "image_b": second}
            told += [Job("/v1/duplicates", pair, {"is_duplicate": label == other})] * 10
    random.Random(0).shuffle(told)
    return told


@pytest.mark.usefixtures("unharmed")
def test_good_and_bad_images_side_by_side_get_their_own_answers(server: Server) -> None:
    todo = jobs()

    def send(client: int) -> list[str]:
        with httpx.Client(base_url=server.address, timeout=SECONDS) as connection:
            return [job.wrong(connection) for job in todo[client::CLIENTS]]

    with ThreadPoolExecutor(CLIENTS) as pool:
        wrong = [told for tolds in pool.map(send, range(CLIENTS)) for told in tolds if told]
    assert not wrong
