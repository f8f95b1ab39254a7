from __future__ import annotations

import socket

import pytest

from phototriage.server.free_port import PortUnavailable, address_of


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")])
def test_a_free_port_is_nothing_to_speak_of(host: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert address_of(host, "4000") == address


def test_a_taken_port_is_told_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable) as caught:
            address_of("127.0.0.1", str(port))
    assert str(caught.value) == (
        f"Port {port} of 127.0.0.1 is taken by another program. "
        "Choose another: phototriage serve --port 3001, or make serve PORT=3001"
    )


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", "x", "isn't a port"),
        ("127.0.0.1", "70000", "isn't a port"),
        ("127.0.0.1", "0", "isn't a port"),
        ("192.0.2.1", "3000", "can't be had"),
    ],
)
def test_what_cannot_be_listened_on_is_told(host: str, port: str, words: str) -> None:
    with pytest.raises(PortUnavailable, match=words):
        address_of(host, port)
