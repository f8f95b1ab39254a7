"""Servers under load: a process group each, and, for peers, a virtual environment each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.load_generator import Address, ask

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"
SHARED = ("numpy", "pillow")  # of the same version as ours in every peer
READY_SECONDS = 90.0
STOP_SECONDS = 10.0


class PeerUnavailable(Exception):
    """A peer can't be installed or doesn't start. The message says why."""


def peer_python(name: str) -> Path:
    """The interpreter of the peer's environment, made where it isn't there. Raises PeerUnavailable.

    ONNX Runtime, NumPy and Pillow have the versions that the service runs with; its own package may be the GPU's.
    """
    folder = ROOT / f".venv-peer-{name}"
    python, mark = folder / "bin" / "python", folder / "installed"
    pins = [f"{package}=={version(package)}" for package in SHARED] + [f"onnxruntime=={runtime_version()}"]
    wanted = (PEERS / f"with_{name}.txt").read_text() + "\n".join(pins)
    if mark.exists() and mark.read_text() == wanted:
        return python
    print(f"installing {name}", file=sys.stderr)
    commands: list[list[str]] = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(PEERS / f"with_{name}.txt"), *pins],
    ]
    for command in commands:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise PeerUnavailable(f"{name} can't be installed: {' '.join(errors) or done.stderr[-500:]}")
    mark.write_text(wanted)
    return python


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def package_versions(python: Path, packages: Sequence[str]) -> str:
    """Their versions in an environment, for the report."""
    code = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"
    done = subprocess.run([str(python), "-c", code, *packages], stdout=subprocess.PIPE, text=True, check=True)
    return ", ".join(f"{name} {found}" for name, found in zip(packages, done.stdout.split(), strict=True))


class ServerProcess:
    """A server on a free port of the loopback, with its output in a file."""

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        folder: Path,
        environment: Mapping[str, str],
        tree: Path = ROOT,
    ) -> None:
        """`command` is given the port. Code and relative paths are the tree's, a checkout of this repository."""
        self.name = name
        port = free_port()
        self.address: Address = ("127.0.0.1", port)
        self._log = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                list(command(port)),
                cwd=tree,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(tree), "PEER_PORT": str(port), **environment},
                process_group=0,  # not a session of its own, to which the kernel would give a share of the cores
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, request: bytes) -> None:
        """Until it answers the request with 200. Raises PeerUnavailable, with the end of its output."""
        end, said = time.monotonic() + READY_SECONDS, "nothing"
        while self._process.poll() is None and time.monotonic() < end:
            try:
                status, body = ask(self.address, request)
                if status == 200:
                    return
                said = f"{status} {body[:300]!r}"
            except (OSError, ValueError) as error:
                said = str(error)
            time.sleep(0.2)
        log = self._log.read_text(errors="replace")
        raise PeerUnavailable(f"{self.name} isn't ready; it answers {said}; its output ends: {log[-1500:]}")

    def end(self) -> None:
        """Stop it and all of its group."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)  # what is left of the group
        self._process.wait(STOP_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
