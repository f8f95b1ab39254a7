"""`phototriage reload` finds the servers of a port by what they were started as."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phototriage.cli.command import main
from phototriage.server import launch

PORT = "65001"
# Stands for a server: says when it listens to signals, and ends when it gets the one.
WAITING = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
print("ready", flush=True)
signal.sigwait([signal.SIGHUP])
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(port: str) -> subprocess.Popen[bytes]:
        words = launch.command("127.0.0.1", port)
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", WAITING, *words[1:]],
                stdout=subprocess.PIPE,
                env={**os.environ, "PHOTOTRIAGE_MODELS_DIRECTORY": "/my/models"},
            )
        )
        output = started[-1].stdout
        assert output is not None
        assert output.readline() == b"ready\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_all_servers_of_the_port_are_told_and_no_other(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    meant, other = [start(PORT), start(PORT)], start("65002")
    assert main(["reload", "--port", PORT]) == 0
    assert [process.wait(10) for process in meant] == [0, 0]
    assert other.poll() is None
    told = capsys.readouterr().out
    for process in meant:
        assert f"process {process.pid} reads /my/models again; its log says" in told


def test_where_none_runs(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start(PORT)
    assert main(["reload", "--port", "6500"]) == 2
    told = capsys.readouterr().err
    assert "on port 6500" in told
    assert told.count("\n") == 1


def test_a_server_says_how_it_is_told(
    models_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def replace(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("PHOTOTRIAGE_MODELS_DIRECTORY", str(models_directory))
    monkeypatch.setenv("BENTOML_HOME", "elsewhere")
    monkeypatch.setattr(os, "execve", replace)
    with pytest.raises(KeyboardInterrupt):
        main(["serve", "--host", "127.0.0.1", "--port", PORT])
    told = capsys.readouterr().err
    assert f"process {os.getpid()} serves {models_directory};" in told
    assert f"kill -HUP {os.getpid()}, or phototriage reload --port {PORT}" in told
