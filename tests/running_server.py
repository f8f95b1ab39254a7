"""The service as it is run: `bentoml serve` in a process of its own, on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
SECONDS = 30  # for anything to happen on a busy machine


class Server:
    """A `bentoml serve` process on a free port, with its output in a file."""

    def __init__(self, folder: Path, models_directory: Path, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log"
        command = [sys.executable, "-m", "bentoml", "serve", "service:Phototriage", "--host", "127.0.0.1"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PHOTOTRIAGE_MODELS_DIRECTORY": str(models_directory),
                    "PHOTOTRIAGE_THREADS": "1",
                    "BENTOML_HOME": str(folder / "bentoml"),
                    "BENTOML_DO_NOT_TRACK": "True",
                    **environment,
                },
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        end = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                if httpx.get(self.address + "/readyz", timeout=SECONDS).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            self.stop()
