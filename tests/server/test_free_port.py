from __future__ import annotations

import socket

import pytest

from phototriage.server.free_port import main


def test_a_free_port_is_nothing_to_speak_of(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert main(["127.0.0.1", str(port)]) == 0
    assert capsys.readouterr().err == ""


def test_a_taken_port_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["127.0.0.1", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"Port {port} of 127.0.0.1 is taken by another program. Choose another: make serve PORT=3001\n"
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
def test_what_cannot_be_listened_on_is_told(
    capsys: pytest.CaptureFixture[str], host: str, port: str, words: str
) -> None:
    assert main([host, port]) == 1
    assert words in capsys.readouterr().err
