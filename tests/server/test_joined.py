from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from phototriage.server.connections import MOST_JOINED, Joined

HEAD, BODY, MORE = b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"more"


class Wire:
    """A transport that keeps what is sent, write by write."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def joined(wire: Wire) -> Joined:
    return Joined(as_transport(wire))


def as_transport(wire: Any) -> asyncio.Transport:
    return wire  # type: ignore[no-any-return]


def cycle(begun: bool = False) -> Any:
    return SimpleNamespace(response_started=begun)


def answer(joined: Joined, *data: bytes) -> None:
    joined.cycle = cycle(begun=True)
    for piece in data:
        joined.write(piece)


def test_a_head_goes_with_its_body(joined: Joined, wire: Wire) -> None:
    answer(joined, HEAD, BODY)
    answer(joined, HEAD, BODY, MORE)
    assert wire.sent == [HEAD + BODY, HEAD + BODY, MORE]


def test_a_long_body_is_not_copied(joined: Joined, wire: Wire) -> None:
    body = bytes(MOST_JOINED + 1)
    answer(joined, HEAD, body)
    assert wire.sent == [HEAD, body]
    answer(joined, HEAD, BODY)
    assert wire.sent[2:] == [HEAD + BODY]


def test_a_head_alone_goes_when_its_answer_ends(joined: Joined, wire: Wire) -> None:
    answer(joined, HEAD)
    assert wire.sent == []
    joined.flush()
    joined.flush()
    assert wire.sent == [HEAD]


def test_a_head_alone_goes_before_the_connection_closes(joined: Joined, wire: Wire) -> None:
    answer(joined, HEAD)
    joined.close()
    assert wire.sent == [HEAD]
    assert joined.is_closing()


def test_what_is_no_head_goes_at_once(joined: Joined, wire: Wire) -> None:
    joined.write(b"cut")
    joined.cycle = cycle()
    joined.write(b"100 Continue")
    joined.cycle.response_started = True
    joined.write(HEAD)
    joined.write(BODY)
    joined.write(b"cut")
    assert wire.sent == [b"cut", b"100 Continue", HEAD + BODY, b"cut"]
