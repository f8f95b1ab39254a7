"""The service as it is run: `bentoml serve` in a process of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.running_server import SECONDS, Server
from tests.tiny_models import solid, write_model

RED = solid((255, 0, 0))

Start = Callable[..., Server]


def classify(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/classify", content=RED, headers={"content-type": "image/png"})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def run(models_directory: Path, **environment: str) -> Server:
        folder = tmp_path / f"server_{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, models_directory, **environment))
        return servers[-1]

    yield run
    for server in servers:
        server.end()


def test_serves_from_readiness_to_sigterm(start: Start, models_directory: Path) -> None:
    server = start(models_directory)
    server.wait_until_ready()
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        assert classify(client).json()["label"] == "red"
        headers = {"content-type": "image/png", "accept": "image/png"}
        assert client.post("/v1/saliency", content=RED, headers=headers).content[:4] == b"\x89PNG"
        assert client.get("/v1/models").json()["models"][0]["name"] == "tiny"
        assert "phototriage_requests_total" in client.get("/metrics").text
        # No route of BentoML's own answers.
        assert client.get("/docs.json").json()["info"]["title"] == "Phototriage"
        assert client.get("/livez").json() == {"status": "alive"}
        for path in ("/", "/schema.json", "/static_content/index.css"):
            assert client.get(path).headers["content-type"] == "application/problem+json"
    half = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 99\r\n\r\nhalf"
    with socket.create_connection(("127.0.0.1", server.port)) as leaving:
        leaving.sendall(half)
    with httpx.Client(base_url=server.address) as client:
        assert classify(client).status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_a_body_over_the_limit_is_told_so_while_it_is_still_sent(start: Start, models_directory: Path) -> None:
    server = start(models_directory)
    server.wait_until_ready()
    with httpx.Client(base_url=server.address, timeout=SECONDS) as client:
        for size in (21_000_000, 60_000_000):
            answer = client.post("/v1/classify", content=bytes(size), headers={"content-type": "image/png"})
            assert answer.status_code == 413
            assert answer.json()["code"] == "too_large"
        assert classify(client).status_code == 200


def test_golden_vectors_that_do_not_repeat_end_the_server(start: Start, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "tiny", golden_scale=11)
    server = start(tmp_path / "models")
    assert server.process.wait(SECONDS) == 1
    assert "phototriage: tiny/golden.npz: logits" in server.log


@pytest.mark.parametrize("container", [{}, {"BENTOML_CONTAINERIZED": "true"}])
def test_a_changed_model_ends_the_server(start: Start, tmp_path: Path, container: dict[str, str]) -> None:
    write_model(tmp_path / "models" / "tiny")
    with (tmp_path / "models" / "tiny" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    (tmp_path / "temporary").mkdir()
    server = start(tmp_path / "models", TMPDIR=str(tmp_path / "temporary"), **container)
    assert server.process.wait(SECONDS) == 1
    assert "phototriage: tiny/model.onnx has SHA-256" in server.log
    assert server.log.count("phototriage: ") == 1
    assert "Traceback" not in server.log
    assert not list((tmp_path / "temporary").glob("phototriage-*"))


def test_settings_that_do_not_fit_end_the_server(start: Start, models_directory: Path) -> None:
    server = start(models_directory, PHOTOTRIAGE_PROVIDER="tpu")
    assert server.process.wait(SECONDS) == 1
    assert "phototriage: PHOTOTRIAGE_PROVIDER='tpu'" in server.log


def test_cuda_without_a_device_ends_the_server(start: Start, models_directory: Path) -> None:
    server = start(models_directory, PHOTOTRIAGE_PROVIDER="cuda", CUDA_VISIBLE_DEVICES="")
    assert server.process.wait(SECONDS) == 1
    assert "The provider is set to cuda, but" in server.log
