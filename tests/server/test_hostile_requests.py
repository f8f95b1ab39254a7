"""A real server under hostile requests: none gets a 5xx, none is left unanswered, nothing is lost or kept by them."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, cycle

import httpx
import numpy as np
import pytest

from tests.hostile_files import bad_files, good_files, png_chunk
from tests.hostile_requests import BATCH, NO_ANSWER, RED, ROUTES, Hostile, corpus, request, upload
from tests.memory import process_tree, resident_bytes
from tests.running_server import SECONDS, Server
from tests.scored_models import write_scored
from tests.tiny_models import write_embedder

MAY_GROW = 1.1  # of the memory after a first pass
GOOD_EVERY = 25  # requests
CODES = {
    400: {"malformed_request"},
    404: {"not_found", "unknown_model"},
    405: {"method_not_allowed"},
    413: {"too_large"},
    415: {"unsupported_image"},
    422: {"undecodable_image", "unknown_label", "foreign_embedding"},
}


@dataclass(frozen=True)
class Answer:
    status: int
    media_type: str
    body: bytes

    @property
    def is_the_servers_own(self) -> bool:
        """Not of our application, which never saw the request: it wasn't HTTP."""
        own = {400: b"Invalid HTTP request received.", 431: b"The request's head is too long."}
        return self.body == own.get(self.status)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one model of each kind, so that no route refuses before it reads."""
    folder = tmp_path_factory.mktemp("server")
    write_scored(folder / "models")
    write_embedder(folder / "models" / "tiny_embedder")
    server = Server(folder, folder / "models")
    server.wait_until_ready()
    yield server
    server.end()


def exchange(server: Server, data: bytes, hang_up: bool = False) -> list[Answer]:
    """Send the bytes, hang up if told so, and read all answers until the server closes."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        with suppress(ConnectionError):  # refused before all was sent
            connection.sendall(data)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                received += piece
    return list(answers(bytes(received)))


def answers(data: bytes) -> Iterator[Answer]:
    while data:
        head, found, data = data.partition(b"\r\n\r\n")
        assert found, head
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        status, length = int(line.split(" ")[1]), int(fields.get("content-length", 0))
        if status >= 200:
            yield Answer(status, fields.get("content-type", ""), data[:length])
            data = data[length:]


def sent_files() -> Iterator[tuple[str, Hostile]]:
    """Every kind of file cut, with flipped bits and with lying sizes, by turns to all routes; all bad files to each."""
    turns = zip(cycle(ROUTES), count())

    def sent(name: str, image: bytes, *allowed: int) -> tuple[str, Hostile]:
        path, turn = next(turns)
        raw = turn // len(ROUTES) % 2 == 0
        return f"{name} to {path}", Hostile(upload(path, image, raw), of_route(path, *allowed))

    for name, good in good_files().items():
        size = len(good)
        for cut in (1, 12, 40, size // 3):
            yield sent(f"{name} cut to {cut}", good[:cut], 415, 422)
        for cut in (size * 3 // 4, size - 1):  # a first frame may be whole
            yield sent(f"{name} cut to {cut}", good[:cut], 200, 422)
        for bits, within in ((1, 32), (4, 64), (3, size), (size // 20, size)):
            yield sent(f"{name}, {bits} of {within} flipped", flip(good, bits, within, name), 200, 413, 415, 422)
    for name, lying in lying_files().items():
        yield sent(name, lying, 200, 413, 422)
    for name, (bad, status, _) in bad_files().items():
        for path in ROUTES:
            if name != "bytes" or path == "/v1/embed":  # 20 MB are enough once
                yield f"bad file {name} to {path}", Hostile(upload(path, bad), of_route(path, status))


def of_route(path: str, *allowed: int) -> frozenset[int]:
    return frozenset({*allowed, 200} if path == BATCH else allowed)


def flip(data: bytes, bits: int, within: int, seed: str) -> bytes:
    """Flip so many bits, which the seed chooses, of the first bytes."""
    flipped = np.frombuffer(data, np.uint8).copy()
    generator = np.random.default_rng(zlib.crc32(seed.encode()))
    for place in generator.integers(0, min(within, len(data)) * 8, bits):
        flipped[place // 8] ^= np.uint8(1 << place % 8)
    return flipped.tobytes()


def lying_files() -> dict[str, bytes]:
    """Files whose headers tell of other sizes than those of what follows."""
    good = good_files()
    jpeg, gif, bmp, webp, tiff = (good[name] for name in ("jpeg", "gif", "bmp", "webp", "tiff"))
    frame, image = jpeg.index(b"\xff\xc0") + 5, gif.index(b",", 13) + 5
    lying: dict[str, bytes] = {}
    for width, height in ((1, 1), (31, 25), (3000, 2000), (65_535, 1), (65_535, 65_535)):
        size = f"which says {width}x{height}"
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        lying |= {
            f"jpeg {size}": put(jpeg, frame, struct.pack(">HH", height, width)),
            f"png {size}": good["png"][:8] + png_chunk(b"IHDR", header) + good["png"][33:],
            f"gif screen {size}": put(gif, 6, struct.pack("<HH", width, height)),
            f"gif frame {size}": put(gif, image, struct.pack("<HH", width, height)),
            f"bmp {size}": put(bmp, 18, struct.pack("<ii", width, height)),
            f"bmp upside down {size}": put(bmp, 18, struct.pack("<ii", width, -height)),
            f"webp {size}": put(webp, 26, struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)),
            f"tiff {size}": with_tag(with_tag(tiff, 256, width), 257, height),
        }
    for value in (0, 1, 2**31 - 1, 2**32 - 1):
        lying |= {f"tiff with tag {tag} of {value}": with_tag(tiff, tag, value) for tag in (273, 277, 278, 279)}
        lying[f"webp of {value} bytes"] = put(webp, 4, struct.pack("<I", value))
        lying[f"bmp pixels at {value}"] = put(bmp, 10, struct.pack("<I", value))
        lying[f"png chunk of {value} bytes"] = put(good["png"], 33, struct.pack(">I", value))
    return lying


def put(data: bytes, place: int, piece: bytes) -> bytes:
    return data[:place] + piece + data[place + len(piece) :]


def with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """Overwrite a tag's value, or what it has for one, in the first directory of a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, start)
    for place in range(start + 2, start + 2 + entries * 12, 12):
        if struct.unpack_from("<H", tiff, place) == (tag,):
            return put(tiff, place + 2, struct.pack("<HII", 4, 1, value))
    raise AssertionError(tag)


def complaint(hostile: Hostile, received: list[Answer]) -> str:
    """What is wrong with the answers to a request, or nothing."""
    statuses = {answer.status for answer in received} or {NO_ANSWER}
    if not statuses <= hostile.allowed:
        return f"{sorted(statuses)}, not {sorted(hostile.allowed)}: {received}"
    for answer in received:
        if answer.is_the_servers_own and hostile.broken:
            continue
        if answer.status >= 400 and not is_problem(answer):
            return f"No problem of ours: {answer}"
    return ""


def is_problem(answer: Answer) -> bool:
    if (answer.status, answer.body) in ((403, b""), (405, b"")):  # to a web socket, to HEAD
        return True
    if answer.media_type != "application/problem+json" or b"Traceback" in answer.body or b".py" in answer.body:
        return False
    problem = json.loads(answer.body)
    return problem["status"] == answer.status and problem["code"] in CODES[answer.status]


def test_the_corpus_is_large_and_always_the_same() -> None:
    named = [*corpus(), *sent_files()]
    assert len(dict(named)) == len(named)
    assert len({hostile.data for _, hostile in named}) > 850
    assert named == [*corpus(), *sent_files()]


def test_hostile_requests_get_4xx_and_leave_nothing_behind(server: Server) -> None:
    requests = dict([*corpus(), *sent_files()])
    processes = process_tree(server.process.pid)
    after: list[int] = []
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        for _ in range(2):
            wrong = {}
            for i, (name, hostile) in enumerate(requests.items()):
                if found := complaint(hostile, exchange(server, hostile.data, hostile.unfinished)):
                    wrong[name] = found
                if i % GOOD_EVERY == 0:
                    good = client.post("/v1/classify", content=RED, headers={"content-type": "image/png"})
                    assert good.json()["label"] == "red", name
            assert not wrong
            after.append(resident_bytes(process_tree(server.process.pid)))
        assert after[1] < MAY_GROW * after[0]
        assert process_tree(server.process.pid) == processes
        assert client.get("/readyz").status_code == 200
        assert 'code="5' not in client.get("/metrics").text
    assert "Traceback" not in server.log


def test_pipelined_requests_are_all_answered_in_order(server: Server) -> None:
    kept = request().replace(b"Connection: close\r\n", b"")
    bad = request(b"GIF").replace(b"Connection: close\r\n", b"")
    received = exchange(server, (kept + bad) * 10 + request())
    assert [answer.status for answer in received] == [200, 415] * 10 + [200]


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_offer_of_another_protocol_is_declined(server: Server, pieces: int) -> None:
    """`curl --http2` and Java's HttpClient make it with every request over plain HTTP."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
    head, _, body = request(RED, offer).replace(b"Connection: close\r\n", b"").partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as connection:
        if pieces == 1:
            connection.sendall(head + b"\r\n\r\n" + body)
        else:
            connection.sendall(head + b"\r\n\r\n")
            connection.sendall(body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
