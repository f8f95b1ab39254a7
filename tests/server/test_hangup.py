"""A server and the terminal in which it was started: SIGHUP has it read its models again while that is there, and a
closed terminal ends it, even where only the program is told that has started it."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from phototriage.server import launch
from tests.http_clients import wait_until
from tests.running_server import SECONDS
from tests.tiny_models import write_model

# As `make serve` in a window of its own: what has the terminal hears of its end, and goes on until the server ends.
STARTER = """
import os, signal, subprocess, sys
os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGHUP, lambda *_: None)
subprocess.call([sys.executable, "-m", "phototriage.cli", "serve", "--attached", "--host", "127.0.0.1", *sys.argv[2:]])
"""


@pytest.fixture
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_a_closed_terminal_ends_the_server(port: str, tmp_path: Path) -> None:
    for name in ("shipped", "mine"):
        write_model(tmp_path / "models" / name, name=name, default=name == "shipped")
    terminal, inside = pty.openpty()
    log = tmp_path / "log"
    environment = {"PHOTOTRIAGE_MODELS_DIRECTORY": str(tmp_path / "models"), "PHOTOTRIAGE_WORKERS": "1"}
    with log.open("wb") as file:
        starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, os.ttyname(inside), "--port", port],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        wait_until(lambda: "Service phototriage initialized" in log.read_text())
        assert log.read_text().count("where no classifier is named, shipped answers") == 1
        (server,) = launch.servers_on(port)
        family = [server, *server.children()]
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: "Models read again" in log.read_text())
        assert all(process.is_running() for process in family)
        os.close(inside)
        os.close(terminal)
        starter.wait(SECONDS)
        assert psutil.wait_procs(family, SECONDS)[1] == []
    finally:
        for process in launch.servers_on(port):
            process.terminate()
        starter.wait(SECONDS)
