"""Who is measured: how each is started, what a request looks like to it, and what its answer says."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.load_generator import Load, ask, closed_loop, open_loop
from benchmarks.process_tree import cpu_seconds, tree
from benchmarks.server_process import ROOT, ServerProcess, free_port, peer_python

BOUNDARY = b"8f3c1d7ab7e94f21"
Encode = Callable[[bytes], tuple[bytes, bytes]]  # a JPEG → the content type and the body
Read = Callable[[Any], dict[str, float]]  # an answer's JSON → the probability of each label


class Contestant(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def roots(self) -> list[int]:
        """Processes of which all others of it are descendants."""

    @property
    def connections(self) -> Sequence[int]:
        """How many it is measured at, one after another."""

    def run(self, size: str, connections: int, seconds: float) -> tuple[Load, float]:
        """A closed loop over the photos of the size: the load, and the CPU seconds that it cost the contestant."""

    def probabilities(self, jpeg: bytes) -> dict[str, float]: ...

    def end(self) -> None: ...


def form(jpeg: bytes) -> tuple[bytes, bytes]:
    """multipart/form-data with one file part, `image`."""
    head = b'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg'
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY, head, jpeg, BOUNDARY)
    return b"multipart/form-data; boundary=" + BOUNDARY, body


def raw(jpeg: bytes) -> tuple[bytes, bytes]:
    return b"image/jpeg", jpeg


def open_inference(jpeg: bytes) -> tuple[bytes, bytes]:
    """The JSON of the Open Inference Protocol."""
    photo = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(jpeg).decode()],
    }
    return b"application/json", json.dumps({"inputs": [photo]}).encode()


def request(path: str, content_type: bytes, body: bytes) -> bytes:
    """A whole request, head and body."""
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (path.encode(), content_type, len(body)) + body


def read_ours(answer: Any) -> dict[str, float]:
    return {each["label"]: each["probability"] for each in answer["probabilities"]}


def read_peer(answer: Any) -> dict[str, float]:
    return {label: float(share) for label, share in answer["probabilities"].items()}


def read_open_inference(labels: Sequence[str]) -> Read:
    """Its probabilities carry no labels: they come in the order of the model's."""
    return lambda answer: dict(zip(labels, answer["outputs"][1]["data"], strict=True))


class HttpContestant:
    """A server, asked by a load generator in a process of its own."""

    def __init__(
        self,
        server: ServerProcess,
        path: str,
        encode: Encode,
        read: Read,
        photos: Mapping[str, Sequence[bytes]],
        generator: Executor,
        connections: Sequence[int],
    ) -> None:
        self.name = server.name
        self.photos = photos
        self._server, self._path, self._encode, self._read = server, path, encode, read
        self._generator, self.connections = generator, connections
        self._requests = {size: self.requests(size, path) for size in photos}

    @property
    def roots(self) -> list[int]:
        return [self._server.pid]

    def wait_until_ready(self) -> None:
        self._server.wait_until_ready(next(iter(self._requests.values()))[0])

    def requests(self, size: str, *paths: str) -> list[bytes]:
        """For each photo one request a path."""
        return [request(path, *self._encode(jpeg)) for jpeg in self.photos[size] for path in paths]

    def run(self, size: str, connections: int, seconds: float) -> tuple[Load, float]:
        return self.run_requests(self._requests[size], connections, seconds)

    def run_requests(self, requests: Sequence[bytes], connections: int, seconds: float) -> tuple[Load, float]:
        processes = tree(self._server.pid)
        before = cpu_seconds(processes)
        load = self._generator.submit(closed_loop, self._server.address, requests, connections, seconds).result()
        return load, cpu_seconds(processes) - before

    def run_open(self, size: str, connections: int, arrivals: NDArray[np.float64], seconds: float) -> Load:
        address, requests = self._server.address, self._requests[size]
        return self._generator.submit(open_loop, address, requests, connections, arrivals, seconds).result()

    def ask(self, path: str, jpeg: bytes) -> tuple[int, bytes]:
        return ask(self._server.address, request(path, *self._encode(jpeg)))

    def probabilities(self, jpeg: bytes) -> dict[str, float]:
        status, body = self.ask(self._path, jpeg)
        if status != 200:
            raise ValueError(f"{self.name} answers {status}: {body[:300]!r}")
        return self._read(json.loads(body))

    def end(self) -> None:
        self._server.end()


@dataclass(frozen=True)
class Setting:
    """What all servers are started with."""

    models: Path
    forward: Path  # the graph without the gradient, for peers
    labels: Sequence[str]
    cores: int
    folder: Path  # for logs and what servers leave behind
    photos: Mapping[str, Sequence[bytes]]
    generator: Executor
    connections: Sequence[int]

    def service(self, name: str, raw_body: bool, environment: Mapping[str, str], tree: Path = ROOT) -> HttpContestant:
        """This service, or that of another checkout, `tree`."""
        folder = self.folder / name.replace(" ", "_")
        command = [sys.executable, "-m", "bentoml", "serve", "service:Phototriage", "--host", "127.0.0.1", "--port"]
        server = ServerProcess(
            name,
            lambda port: [*command, str(port)],
            folder,
            {
                "PHOTOTRIAGE_MODELS_DIRECTORY": str(self.models.resolve()),
                "BENTOML_HOME": str(folder / "bentoml"),
                "BENTOML_DO_NOT_TRACK": "True",
                **environment,
            },
            tree,
        )
        return self._asked(server, "/v1/classify", raw if raw_body else form, read_ours)

    def peer(self, name: str) -> HttpContestant:
        """Raises PeerUnavailable."""
        python, folder = peer_python(name), self.folder / name
        path, encode = "/classify", form
        read: Read = read_peer
        if name == "mlserver":
            path, encode, read = "/v2/models/peer/infer", open_inference, read_open_inference(self.labels)
        elif name == "litserve":
            path = "/predict"
        environment = {
            "PEER_MODEL": str(self.forward),
            "PEER_LABELS": ",".join(self.labels),
            "PEER_WORKERS": str(self.cores),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        server = ServerProcess(name, _command(name, python, folder, self.cores), folder, environment)
        return self._asked(server, path, encode, read)

    def _asked(self, server: ServerProcess, path: str, encode: Encode, read: Read) -> HttpContestant:
        return HttpContestant(server, path, encode, read, self.photos, self.generator, self.connections)


def _command(name: str, python: Path, folder: Path, cores: int) -> Callable[[int], Sequence[str]]:
    start = [str(python), "-m"]
    module = f"benchmarks.peers.with_{name}"
    options = ["--workers", str(cores), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    commands: dict[str, Callable[[int], Sequence[str]]] = {
        "fastapi": lambda port: [*start, "uvicorn", f"{module}:application", "--port", str(port), *options],
        "litserve": lambda port: [*start, module],
        "mlserver": lambda port: [str(python.with_name("mlserver")), "start", _mlserver_folder(folder, port, cores)],
        "bentoml": lambda port: [
            *start,
            "bentoml",
            "serve",
            f"{module}:Peer",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
    }
    return commands[name]


def _mlserver_folder(folder: Path, port: int, cores: int) -> str:
    """A folder with MLServer's settings. `debug` would log every request."""
    settings = {
        "debug": False,
        "parallel_workers": cores,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "metrics_dir": str(folder / "metrics"),
        "environments_dir": str(folder / "environments"),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "peer", "implementation": "benchmarks.peers.with_mlserver.Runtime"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return str(folder)
