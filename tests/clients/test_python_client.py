"""The Python client against the service as it is run, with tiny models."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from phototriage_client import (
    ONCE,
    AsyncClient,
    Client,
    Comparer,
    ConnectionFailed,
    Embedding,
    ForeignEmbedding,
    Item,
    NotFound,
    Problem,
    Unauthorized,
    UndecodableImage,
    UnknownLabel,
    UnknownModel,
    UnsupportedImage,
)
from phototriage_client.answers import TriageResponse
from PIL import Image

from phototriage.duplicates.layout_rescoring import LayoutRescoring
from tests.clients.in_loop import InLoop
from tests.http_clients import wait_until
from tests.running_server import ROOT, SECONDS, Server
from tests.scored_models import AUTOENCODER, CLASSIFIER, write_scored
from tests.tiny_models import LABELS, decision, solid, write_embedder

KEY = "k" * 16
COLOURS = [solid(colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
RED, GREEN, BLUE = COLOURS
BEFORE, AFTER = 10, 20  # items that each client has before the server is stopped, and images after it is back


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    write_scored(directory)
    write_embedder(
        directory / "tiny_embedder", decision=decision(layout_rescoring=LayoutRescoring(floor=0.5, weight=0.9))
    )
    return directory


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The server's own settings."""
    return {"PHOTOTRIAGE_API_KEYS": KEY, "PHOTOTRIAGE_COLLECTIONS": str(tmp_path_factory.mktemp("kept"))}


@pytest.fixture(scope="module")
def server(directory: Path, own: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), directory, **own)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module", params=["threads", "loop"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    """Both clients by the same calls."""
    if request.param == "threads":
        with Client(server.address, api_key=KEY) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        inner = AsyncClient(server.address, api_key=KEY)
        yield InLoop(runner, inner)
        runner.run(inner.close())


def test_classify(client: Any) -> None:
    answer = client.classify(RED)
    assert (answer.model.name, answer.label) == (CLASSIFIER, "red")
    assert [each.label for each in client.classify(BLUE, model=CLASSIFIER, top_k=1).probabilities] == ["blue"]


def test_every_kind_of_image_has_the_same_answer(client: Any, tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8, 1], pixels[:, 8:, 2] = 200, 90
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    sources = [tmp_path / "a.png", io.BytesIO(buffer.getvalue()), Image.fromarray(pixels), pixels]
    expected = client.classify(buffer.getvalue())
    assert [client.classify(source) for source in sources] == [expected] * 4


def test_difficulty(client: Any) -> None:
    answer = client.difficulty(RED, label="blue")
    assert "likely_mislabelled" in [reason.kind for reason in answer.reasons]
    assert 0 < answer.score < 1


def test_saliency_as_json_and_as_png(client: Any) -> None:
    answer = client.saliency(RED, method="featout", target="green")
    assert (answer.target, answer.method, answer.trained_with_featout) == ("green", "featout", True)
    for png in (answer.png, client.saliency_png(RED)):
        with Image.open(io.BytesIO(png)) as mask:
            assert (mask.mode, mask.size) == ("L", (16, 16))


def test_duplicates_of_images_and_of_kept_embeddings(client: Any) -> None:
    a, b = (Embedding.from_json(client.embed(image).embedding.to_json()) for image in (RED, GREEN))
    by_image = client.duplicates(RED, GREEN)
    assert client.duplicates(a, b) == client.duplicates(RED, b) == by_image
    assert Comparer(client.models().default("embedder")).compare(a, b) == by_image
    assert client.duplicates(RED, RED).is_duplicate
    changed = client.duplicates(a, GREEN, threshold=-1, explain=True)
    assert (changed.is_duplicate, changed.threshold_source) == (True, "request")
    assert changed.explanation.a is None
    assert changed.explanation.b.png.startswith(b"\x89PNG")
    assert changed.explanation.picture is None  # the tiny embedder gives no signatures
    assert client.duplicates(RED, GREEN, explain=True).explanation.picture == client.duplicates_png(RED, GREEN)


def test_triage(client: Any) -> None:
    answer = client.triage(GREEN, include=["classify", "saliency"], top_k=1)
    assert (answer.classify.label, answer.saliency.target) == ("green", "green")
    assert answer.difficulty is answer.embed is None
    assert client.triage(GREEN).embed.embedding.dimension == 3 + 64


def test_triage_batch(client: Any, tmp_path: Path) -> None:
    (tmp_path / "b l\"u'e.png").write_bytes(BLUE)
    answer = client.triage_batch([RED, b"bad", tmp_path / "b l\"u'e.png"], include=["classify"])
    assert [item.classify and item.classify.label for item in answer.results] == ["red", None, "blue"]
    assert isinstance(Problem.of(answer.results[1].error), UnsupportedImage)


def test_models_and_reload(client: Any) -> None:
    models = client.models()
    assert {model.name for model in models.models} == {CLASSIFIER, AUTOENCODER, "tiny_embedder"}
    reloaded = client.reload()
    assert {model.name for model in reloaded.models} == {CLASSIFIER, AUTOENCODER, "tiny_embedder"}
    assert (reloaded.taken_up, reloaded.refused) == ([], [])
    with pytest.raises(LookupError, match="no default model of kind 'autoencoder'"):
        models.default("autoencoder")


def test_health_and_metrics(client: Any) -> None:
    assert (client.live().status, client.ready().status) == ("alive", "ready")
    assert client.wait_until_ready().status == "ready"
    assert "phototriage_requests_total" in client.metrics()


def test_problems_have_their_class_and_the_id_that_the_log_has(client: Any, server: Server) -> None:
    kept = client.embed(RED).embedding
    cases: list[tuple[Callable[[], Any], type[Problem]]] = [
        (lambda: client.classify(b"bad"), UnsupportedImage),
        (lambda: client.classify(RED[:40]), UndecodableImage),
        (lambda: client.classify(RED, model="other"), UnknownModel),
        (lambda: client.difficulty(RED, label="puce"), UnknownLabel),
        (lambda: client.duplicates(RED, kept.model_copy(update={"version": "0" * 16})), ForeignEmbedding),
    ]
    ids: list[str] = []
    for ask, expected in cases:
        with pytest.raises(expected) as caught:
            ask()
        assert caught.value.attempts == 1
        ids.append(str(caught.value.request_id))
    wait_until(lambda: all(each in server.log for each in ids))  # a line is written after its answer


def test_without_the_key_it_is_refused(server: Server) -> None:
    for key in (None, "x" * 16):
        with Client(server.address, api_key=key) as client:
            with pytest.raises(Unauthorized, match="401"):
                client.classify(RED)
            assert client.ready().status == "ready"
    with Client(server.address + "/elsewhere", api_key=KEY) as client, pytest.raises(NotFound):
        client.models()


def test_one_connection_serves_many_calls(server: Server) -> None:
    with Client(server.address, api_key=KEY) as client:
        for _ in range(5):
            client.classify(RED)
        (connection,) = client._sender._http._transport._pool.connections  # type: ignore[attr-defined]
        assert "Request Count: 5" in repr(connection)


def start_again(server: Server, directory: Path, own: dict[str, str], folder: Path) -> None:
    """On the same port, with the same settings."""
    own = {"PHOTOTRIAGE_MODELS_DIRECTORY": str(directory), "PHOTOTRIAGE_THREADS": "1", **own}
    bentoml = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    server.process = subprocess.Popen(server.process.args, cwd=ROOT, env={**os.environ, **own, **bentoml})
    server.wait_until_ready()


class Run:
    """Many images of one client, while the server is stopped and started again."""

    def __init__(self) -> None:
        self.items: list[Item[TriageResponse]] = []
        self.going, self.back = Event(), Event()
        self.sent = 0

    def images(self) -> Iterator[bytes]:
        """Until some have gone after the server came back."""
        left = AFTER
        while left:
            left -= self.back.is_set()
            self.sent += 1
            yield COLOURS[(self.sent - 1) % 3]

    def take(self, item: Item[TriageResponse]) -> None:
        self.items.append(item)
        if len(self.items) == BEFORE:
            self.going.set()

    @contextmanager
    def running(self, ask: Callable[[], None]) -> Iterator[None]:
        """Ask in a thread, until the block has ended and the images have."""
        asking = Thread(target=ask, daemon=True)
        asking.start()
        try:
            assert self.going.wait(SECONDS)
            yield
        finally:
            self.back.set()
            asking.join(SECONDS)
            assert not asking.is_alive()


def test_a_server_that_starts_again_loses_and_doubles_nothing(
    server: Server, directory: Path, own: dict[str, str], tmp_path: Path
) -> None:
    in_threads, in_loop = Run(), Run()

    def ask() -> None:
        with Client(server.address, api_key=KEY) as client:
            for item in client.triage_many(in_threads.images(), include=["classify"]):
                in_threads.take(item)

    async def ask_in_loop() -> None:
        async with AsyncClient(server.address, api_key=KEY) as client:
            async for item in client.triage_many(in_loop.images(), include=["classify"]):
                in_loop.take(item)

    with in_threads.running(ask), in_loop.running(lambda: asyncio.run(ask_in_loop())):
        server.stop()
        with Client(server.address, retry=ONCE) as client, pytest.raises(ConnectionFailed):
            client.models()
        start_again(server, directory, own, tmp_path)
    for run in (in_threads, in_loop):
        assert run.sent > BEFORE + AFTER
        assert [item.error for item in run.items if item.error] == []
        assert [item.index for item in run.items] == list(range(run.sent))
        labels = [item.get().classify for item in run.items]
        assert [each and each.label for each in labels] == [LABELS[i % 3] for i in range(run.sent)]


def test_the_code_of_its_readme_runs(server: Server, tmp_path: Path) -> None:
    text = (ROOT / "clients/python/README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    address = '"http://localhost:3000"'
    assert code.count(address) == 5
    (tmp_path / "photos").mkdir()
    for name, content in (("photo.jpg", RED), ("other.jpg", GREEN), ("photos/a.png", BLUE), ("photos/b.png", b"bad")):
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-W", "error", "-c", code.replace(address, f'"{server.address}", api_key="{KEY}"')]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("red 1.0 ")
    assert lines[2].startswith("False The similarity of the embeddings is ")
    assert (tmp_path / "pair.png").read_bytes().startswith(b"\x89PNG")
    assert lines[3].startswith("unsupported_image 415 ")
    assert {line.split()[0] + " " + line.split()[1] for line in lines[4:6]} == {
        "photos/a.png blue",
        "photos/b.png Not",
    }
    assert lines[6:9] == ["red", "0 67", "1 67"]
    assert lines[10:] == [
        "[True, False]",
        "house 1/front.jpg added",
        "house 2 added",
        "True ['house 1/front.jpg', 'house 2']",
        "duplicate",
        "['house 1/front.jpg'] 1",
    ]
