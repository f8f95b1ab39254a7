"""A server that keeps a collection, killed at random moments under load: `python -m tests.collection_kills`, a part of
`make kills`. With `--postgres` two servers that share a database, and any of the three is killed.

Callers add photos, each under several ids and only if new, and delete some; what gets no answer is sent again. In the
end each photo has to be there once, under an id that was told to be added, and nothing that was told to be deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil
from PIL import Image

from benchmarks import postgres_server
from benchmarks.postgres_server import PostgresServer
from benchmarks.server_process import free_port
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[1]
BASE = "/v1/collections/killed"
READY_SECONDS = 120


class Callers:
    """Threads that add `photos` photos, `copies` times each, and delete every tenth that was added."""

    def __init__(self, addresses: Sequence[str], photos: int, copies: int, threads: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.added: dict[int, str] = {}  # id by photo, as it was told
        self.deleted: set[int] = set()
        self._http = [httpx.Client(base_url=address, timeout=20) for address in addresses]
        self._files = [jpeg(number) for number in range(photos)]
        self._waiting = deque((number, copy) for copy in range(copies) for number in range(photos))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def left(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                number, copy = self._waiting.popleft()
            name = f"{number}/{copy}"
            answer = self._send("POST", f"{BASE}/photos?if_new=true&id={name}", self._files[number])
            if answer["outcome"] in ("added", "unchanged"):
                # `unchanged`: it was added, but the answer was lost. A copy may be told so after a deletion, too.
                with self._lock:
                    self.added.setdefault(number, name)
                    delete = number % 10 == 9 and copy == 0
                if delete:
                    self._send("DELETE", f"{BASE}/photos/{name}")
                    with self._lock:
                        self.deleted.add(number)

    def _send(self, method: str, path: str, content: bytes | None = None) -> dict[str, str]:
        """Until there is an answer. What was deleted by a call whose answer was lost is gone at the next."""
        while True:
            try:
                headers = {"content-type": "image/jpeg"} if content else {}
                answer = random.choice(self._http).request(method, path, content=content, headers=headers)
            except httpx.TransportError:
                time.sleep(0.3)
                continue
            with self._lock:
                self.statuses[answer.status_code] += 1
            if answer.status_code == 200 or (method == "DELETE" and answer.status_code == 404):
                found: dict[str, str] = answer.json()
                return found
            time.sleep(0.3)


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(drawn_photo(number)).save(file, "JPEG", quality=90)
    return file.getvalue()


class Server:
    def __init__(self, folder: Path, place: str) -> None:
        """folder: of its output; place: of the collections."""
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._folder, self._place = folder, place
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it is ready."""
        command = [sys.executable, "-m", "phototriage.cli", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {
            **os.environ,
            "PHOTOTRIAGE_COLLECTIONS": self._place,
            "PHOTOTRIAGE_WORKERS": "1",
            "PHOTOTRIAGE_LOG_REQUESTS": "false",
            "PYTHONPATH": str(ROOT),
        }
        with (self._folder / f"log-{self.port}").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(self.address + "/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(f"not ready; its output ends: {(self._folder / 'log').read_text()[-1500:]}")

    def kill(self) -> None:
        """Supervisor and worker, without a warning."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        for process in [*supervisor.children(recursive=True), supervisor]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--postgres", action="store_true", help="two servers that share a database")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.postgres:
            database = stack.enter_context(postgres_server.started(settings=()))
            servers = [Server(scratch, database.address) for _ in range(2)]
            killed: list[Server | PostgresServer] = [*servers, database]
        else:
            servers = [Server(scratch, str(scratch / "collections"))]
            killed = [*servers]
        for server in servers:
            server.start()
        httpx.put(servers[0].address + BASE, timeout=20).raise_for_status()
        callers = Callers([server.address for server in servers], given.photos, given.copies, given.callers)
        callers.start()
        for number in range(given.kills):
            time.sleep(chance.uniform(0.2, 3))
            which = chance.choice(killed)
            print(f"kill {number + 1}, a {type(which).__name__}, {callers.left} to be sent", flush=True)
            which.kill()
            which.start()
        while callers.busy:
            time.sleep(0.5)
        names = listed(servers[0].address)
        for server in servers:
            server.kill()
    return 0 if fits(callers, names) else 1


def listed(address: str) -> list[str]:
    names: list[str] = []
    after: int | None = -1
    while after is not None:
        page = httpx.get(f"{address}{BASE}/photos?limit=1000&after={after}", timeout=20).json()
        names += page["ids"]
        after = page.get("next")
    return names


def fits(callers: Callers, names: list[str]) -> bool:
    """Whether what is there is what was told."""
    times = Counter(int(name.split("/")[0]) for name in names)
    twice = [number for number, count in times.items() if count > 1]
    there = set(names)
    lost = [name for number, name in callers.added.items() if number not in callers.deleted and name not in there]
    # A photo that was deleted may be added again, by a copy that came later.
    kept = [number for number in callers.deleted if f"{number}/0" in there]
    errors = {status: count for status, count in callers.statuses.items() if status >= 500 and status != 503}
    print(
        f"{sum(callers.statuses.values())} answers {dict(callers.statuses)}; {len(names)} photos are there; "
        f"lost: {lost}; there twice: {twice}; there after their deletion: {kept}; errors: {errors}"
    )
    return not (lost or twice or kept or errors) and len(callers.added) == len(callers._files)


if __name__ == "__main__":
    sys.exit(main())
