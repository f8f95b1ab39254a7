"""The routes that answer several questions, or about several images; keys, kept answers and exchanged models."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from phototriage.models.model_set import Models, load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.pipeline import TriageRequest
from tests.asgi_client import AsgiClient
from tests.scored_models import AUTOENCODER, CLASSIFIER, write_scored
from tests.tiny_models import solid, write_embedder, write_model

RED, GREEN = solid((255, 0, 0), height=20, width=30), solid((0, 255, 0), height=20, width=30)
PNG = {"content-type": "image/png"}
KEY, OTHER_KEY = "a-key-of-16-signs", "another-key-of-16"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with a difficulty score, its autoencoder, and an embedder."""
    folder = tmp_path_factory.mktemp("models")
    write_scored(folder)
    write_embedder(folder / "tiny_embedder")
    return folder


@pytest.fixture(scope="module")
def settings(directory: Path) -> Settings:
    return Settings(
        models_directory=directory, threads=2, provider="cpu", log_requests=False, default_classifier=CLASSIFIER
    )


@pytest.fixture(scope="module")
def models(settings: Settings) -> Models:
    return load_models(settings)


def serve(settings: Settings, models: Models, **changes: Any) -> AsgiClient:
    api = HttpApi()
    api.start(settings.model_copy(update=changes), models)
    return AsgiClient(api)


@pytest.fixture(scope="module")
def client(settings: Settings, models: Models) -> AsgiClient:
    return serve(settings, models)


def test_triage_is_what_the_single_routes_answer(client: AsgiClient) -> None:
    response = client.post("/v1/triage?include=classify,difficulty,saliency,embed", content=RED, headers=PNG)
    assert response.status_code == 200, response.text
    parts = response.json()
    assert list(parts) == ["classify", "difficulty", "saliency", "embed"]
    for part, answer in parts.items():
        assert answer == client.post(f"/v1/{part}", content=RED, headers=PNG).json()


def test_triage_by_default(client: AsgiClient, models: Models) -> None:
    answer = client.post("/v1/triage", files={"image": ("a", RED)}).json()
    assert list(answer) == ["classify", "difficulty", "embed"]
    assert answer == pipeline.triage(models, RED).model_dump(exclude_none=True)


def test_the_words_of_a_triage_reach_its_parts(client: AsgiClient) -> None:
    query = (
        f"include=classify,difficulty,saliency&top_k=1&label=green&target=blue&method=featout&classifier={CLASSIFIER}"
    )
    answer = client.post(f"/v1/triage?{query}", content=RED, headers=PNG).json()
    assert len(answer["classify"]["probabilities"]) == 1
    assert "likely_mislabelled" in [reason["kind"] for reason in answer["difficulty"]["reasons"]]
    assert (answer["saliency"]["target"], answer["saliency"]["method"]) == ("blue", "featout")
    assert answer["saliency"]["trained_with_featout"] is True


def test_each_model_of_a_triage_runs_once(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    classifier, embedder, autoencoder = models.classifier(), models.embedder(), models.autoencoders[AUTOENCODER]
    for model, method in ((classifier, "run"), (embedder, "forward"), (autoencoder, "run")):
        own = getattr(model, method)

        def noted(*given: Any, own: Any = own, name: str = model.name) -> Any:
            explains = name == CLASSIFIER and given[1] is not None
            calls.append(f"{name} explains" if explains else name)
            return own(*given)

        monkeypatch.setattr(model, method, noted)
    pipeline.triage(models, RED)
    assert sorted(calls) == sorted([CLASSIFIER, AUTOENCODER, "tiny_embedder"])
    calls.clear()
    pipeline.triage(models, RED, TriageRequest(("classify", "difficulty", "saliency")))
    assert sorted(calls) == sorted([f"{CLASSIFIER} explains", AUTOENCODER])
    calls.clear()
    pipeline.triage(models, RED, TriageRequest(("embed",)))
    assert calls == ["tiny_embedder"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("include=classify,magic", 400, "include"),
        ("include=", 400, "include"),
        ("include=classify,classify", 400, "named twice"),
        ("include=classify&include=embed", 400, "given twice"),
        ("model=tiny", 400, "this route takes include, classifier, embedder"),
        ("classifier=dogs", 404, "'dogs'"),
        ("embedder=dogs", 404, "'dogs'"),
        ("include=classify&top_k=9", 400, "from 1 to 3"),
        ("include=saliency&target=pink", 422, "'pink'"),
        ("label=pink", 422, "'pink'"),
    ],
)
def test_questions_that_can_not_be_asked(client: AsgiClient, query: str, status: int, words: str) -> None:
    for path in ("/v1/triage", "/v1/triage/batch"):
        response = client.post(f"{path}?{query}", files={"image" if path == "/v1/triage" else "images": ("a", RED)})
        assert response.status_code == status, response.text
        assert words in response.json()["detail"]


def test_by_default_what_there_are_models_for(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    settings = Settings(models_directory=tmp_path, threads=1, provider="cpu", log_requests=False)
    alone = serve(settings, load_models(settings))
    assert list(alone.post("/v1/triage", content=RED, headers=PNG).json()) == ["classify"]
    response = alone.post("/v1/triage?include=classify,difficulty", content=RED, headers=PNG)
    assert (response.status_code, response.json()["code"]) == (404, "unknown_model")


def batch(client: AsgiClient, *files: tuple[str, bytes], query: str = "") -> httpx.Response:
    return client.post("/v1/triage/batch" + query, files=[("images", file) for file in files])


def test_a_batch_is_answered_in_its_order_and_a_bad_image_fails_alone(client: AsgiClient) -> None:
    files = [("red.png", RED), ("b", GREEN), ("cut.png", RED[:50]), ("text", b"text"), ("empty", b""), ("last", RED)]
    response = batch(client, *files)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [(one["index"], one["filename"]) for one in results] == [(i, name) for i, (name, _) in enumerate(files)]
    red, green, cut, text, empty, last = results
    single = client.post("/v1/triage", content=RED, headers=PNG).json()
    assert red == {"index": 0, "filename": "red.png"} | single
    assert last == {"index": 5, "filename": "last"} | single
    assert green["classify"]["label"] == "green"
    assert [one["error"]["code"] for one in (cut, text, empty)] == [
        "undecodable_image",
        "unsupported_image",
        "undecodable_image",
    ]
    assert set(cut) == {"index", "filename", "error"}
    assert cut["error"]["status"] == 422


def test_files_of_a_batch_are_called_what_their_senders_called_them(client: AsgiClient) -> None:
    names = ['a"b.png', "a\\b.png", "猫.png"]
    results = batch(client, *[(name, RED) for name in names], query="?include=classify").json()["results"]
    assert [one["filename"] for one in results] == names
    part = b"--B\r\nContent-Disposition: form-data; name=\"images\"; filename*=utf-8''%e7%8c%ab.png\r\n\r\n"
    headers = {"content-type": "multipart/form-data; boundary=B"}
    response = client.post("/v1/triage/batch", content=part + RED + b"\r\n--B--\r\n", headers=headers)
    assert [one["filename"] for one in response.json()["results"]] == ["猫.png"]


def test_a_file_over_the_limit_fails_alone(settings: Settings, models: Models) -> None:
    small = serve(settings, models, max_image_bytes=2_000)
    response = batch(small, ("big", bytes(2_001)), ("red", RED), query="?include=classify")
    first, second = response.json()["results"]
    assert first["error"]["code"] == "too_large"
    assert second["classify"]["label"] == "red"


def test_batches_that_are_refused_whole(settings: Settings, models: Models, client: AsgiClient) -> None:
    small = serve(settings, models, max_images=2, max_request_bytes=3_000)
    response = batch(small, *[("a", RED)] * 3)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "more than 2 parts named 'images'" in response.json()["detail"]
    assert batch(small, ("a", bytes(4_000))).status_code == 413
    assert (
        "no parts"
        in client.post(
            "/v1/triage/batch", content=b"--b--\r\n", headers={"content-type": "multipart/form-data; boundary=b"}
        ).json()["detail"]
    )
    assert client.post("/v1/triage/batch", files={"image": ("a", RED)}).status_code == 400
    assert client.post("/v1/triage/batch", content=RED, headers=PNG).status_code == 400
    assert "not fetched" in client.post("/v1/triage/batch", files={"images": (None, "http://x/")}).json()["detail"]


def test_images_of_a_batch_that_come_too_late_say_so(
    settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = models.classifier()
    run, release, first = classifier.run, threading.Event(), threading.Event()

    def wait(*given: Any) -> Any:
        if first.is_set():
            release.wait(5)
        first.set()
        return run(*given)

    monkeypatch.setattr(classifier, "run", wait)
    slow = serve(settings, models, threads=1, deadline_seconds=0.5)
    results = batch(slow, *[("a", RED)] * 3, query="?include=classify").json()["results"]
    release.set()
    assert results[0]["classify"]["label"] == "red"
    assert [one["error"]["code"] for one in results[1:]] == ["deadline_exceeded"] * 2


@pytest.fixture(scope="module")
def locked(settings: Settings, models: Models) -> AsgiClient:
    return serve(settings, models, api_keys=(SecretStr(KEY), SecretStr(OTHER_KEY)))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/classify"),
        ("POST", "/v1/duplicates"),
        ("POST", "/v1/triage/batch"),
        ("GET", "/v1/models"),
        ("POST", "/v1/models/reload"),
        ("GET", "/metrics"),
    ],
)
def test_without_a_key_nothing_is_answered(locked: AsgiClient, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong-key-wrong-key"}):
        response = locked.request(method, path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


def test_with_a_key_all_is(locked: AsgiClient) -> None:
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": OTHER_KEY}):
        assert locked.post("/v1/classify", content=RED, headers=PNG | headers).status_code == 200
        assert locked.get("/metrics", headers=headers).status_code == 200
        assert locked.post("/v1/models/reload", headers=headers).json()["refused"] == []


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/docs.json"])
def test_health_needs_no_key(locked: AsgiClient, path: str) -> None:
    assert locked.get(path).status_code == 200


def test_models_are_exchanged_while_requests_go_on(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    settings = Settings(models_directory=tmp_path, threads=1, provider="cpu", log_requests=False)
    client = serve(settings, load_models(settings), api_keys=(SecretStr(KEY),))
    headers = PNG | {"x-api-key": KEY}
    before = client.post("/v1/classify", content=RED, headers=headers).json()["model"]["version"]
    shutil.rmtree(tmp_path / "tiny")
    after = write_model(tmp_path / "tiny", scale=20).version
    answer = client.post("/v1/models/reload", headers=headers).json()
    assert answer["taken_up"] == [{"name": "tiny", "version": after, "replaced": before}]
    assert client.post("/v1/classify", content=RED, headers=headers).json()["model"]["version"] == after
    text = client.get("/metrics", headers=headers).text
    assert f'phototriage_model{{kind="classifier",name="tiny",version="{after}"}} 1.0' in text
    assert f'phototriage_model{{kind="classifier",name="tiny",version="{before}"}} 0.0' in text


def hits(client: AsgiClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    hits = [line for line in lines if line.startswith('phototriage_answer_cache_total{result="hit"}')]
    return float(hits[0].split()[1]) if hits else 0.0


def test_a_kept_answer_is_the_same_and_another_question_is_not(
    settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(settings, models, answer_cache_bytes=1_000_000)
    before = hits(client)
    first = client.post("/v1/classify", content=RED, headers=PNG)
    png = PNG | {"accept": "image/png"}
    mask = client.post("/v1/saliency", content=RED, headers=png)
    monkeypatch.setattr(models.classifier(), "run", None)  # whoever runs the model fails
    again = client.post("/v1/classify", files={"image": ("other name", RED)})
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert client.post("/v1/saliency", content=RED, headers=png).content == mask.content
    assert hits(client) == before + 2
    unkept = AsgiClient(client._application, raise_errors=False)
    for path, content in (("/v1/classify?top_k=1", RED), ("/v1/classify", GREEN), ("/v1/saliency", RED)):
        assert unkept.post(path, content=content, headers=PNG).status_code == 500


def test_each_answer_is_a_line_without_anything_of_the_callers(
    settings: Settings, models: Models, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serve(settings, models, log_requests=True)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = PNG | {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-secret": "secret"}
    response = client.post("/v1/classify?model=secret", content=b"secret", headers=headers)
    client.request("SECRET", "/secret?secret=secret")
    lines = capfd.readouterr().err.splitlines()
    line, other = (json.loads(each) for each in lines)
    assert response.headers["x-request-id"] == trace == line["request_id"]
    assert response.headers["traceparent"].split("-")[1:3] == [trace, line["span_id"]]
    assert (line["route"], line["status"], line["method"]) == ("/v1/classify", 404, "POST")
    assert (other["route"], other["status"], other["method"]) == ("other", 404, "other")
    assert "secret" not in "".join(lines).lower()


def test_scrapes_under_load_leave_one_timer(settings: Settings, models: Models) -> None:
    api = HttpApi()
    api.start(settings, models)

    async def main() -> int:
        api._uploads.images = 1  # so that each publication asks for the next
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://test") as client:
            for _ in range(5):
                assert (await client.get("/metrics")).status_code == 200
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return sum(not timer.cancelled() and "_publish" in repr(timer) for timer in timers)

    assert asyncio.run(main()) == 1


def test_what_the_models_say_is_counted(client: AsgiClient) -> None:
    client.post("/v1/triage", content=RED, headers=PNG)
    client.post("/v1/duplicates", files={"image_a": ("a", RED), "image_b": ("b", GREEN)})
    text = client.get("/metrics").text
    for series in (
        f'phototriage_confidence_count{{model="{CLASSIFIER}"}}',
        f'phototriage_labels_total{{label="red",model="{CLASSIFIER}"}}',
        f'phototriage_difficulty_score_count{{model="{CLASSIFIER}"}}',
        'phototriage_duplicates_total{is_duplicate="false",model="tiny_embedder"}',
        f'phototriage_batch_size_count{{model="{AUTOENCODER}"}}',
        "phototriage_queue_depth",
        "phototriage_queue_capacity",
        "phototriage_uploads",
        "phototriage_ready",
    ):
        assert series in text
