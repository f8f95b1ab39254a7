from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.types import Message

from phototriage.models.model_set import Models, load_models
from phototriage.server import receiving
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from phototriage.triage import pipeline, responses
from tests.asgi_client import AsgiClient
from tests.hostile_files import bad_files, encode, good_files
from tests.tiny_models import solid, write_embedder, write_model

RED = solid((255, 0, 0), height=20, width=30)
BLACK = solid((0, 0, 0), height=20, width=30)
PROBLEM = "application/problem+json"
BAD = bad_files()
GOOD = good_files()


@pytest.fixture(scope="module")
def api(settings: Settings, models: Models) -> Iterator[HttpApi]:
    api = HttpApi()
    api.start(settings, models)
    yield api
    api.stop()


@pytest.fixture(scope="module")
def client(api: HttpApi) -> AsgiClient:
    return AsgiClient(api)


def post(client: AsgiClient, path: str, data: bytes = RED, **headers: str) -> httpx.Response:
    """Send a raw body."""
    fields = {"content-type": "image/png", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post(path, content=data, headers=fields)


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = response.json()
    assert set(problem) == {"type", "title", "status", "code", "detail"}
    assert problem["status"] == status
    assert problem["code"] == code
    assert "Traceback" not in problem["detail"]
    assert ".py" not in problem["detail"]
    return problem


def test_classify_a_raw_body(client: AsgiClient) -> None:
    response = post(client, "/v1/classify?top_k=1")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["label"] == "red"
    assert answer["probabilities"] == [{"label": "red", "probability": answer["confidence"]}]
    assert set(answer["model"]) == {"name", "version"}


def test_frame_is_told_of_animations_alone(client: AsgiClient) -> None:
    animated = encode(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    for route in ("classify", "embed", "saliency"):
        still, moving = (post(client, f"/v1/{route}", data).json() for data in (RED, animated))
        assert "frame" not in still
        assert moving["frame"] == "first"


def test_classify_a_file_part(client: AsgiClient) -> None:
    response = client.post("/v1/classify", files={"image": ("a.jpg", RED, "text/plain")})
    assert response.json() == post(client, "/v1/classify").json()


def test_saliency_is_json_by_default(client: AsgiClient, models: Models) -> None:
    answer = post(client, "/v1/saliency").json()
    assert answer == pipeline.saliency(models, RED).answer().model_dump(exclude_none=True)
    assert "trained_with_featout" not in answer


def test_saliency_by_featout(client: AsgiClient) -> None:
    answer = post(client, "/v1/saliency?method=featout&target=green&model=tiny").json()
    assert (answer["method"], answer["target"], answer["trained_with_featout"]) == ("featout", "green", True)


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("image/png;q=0.5, */*", "application/json"),
        ("image/png;q=x", "application/json"),
        ("application/json, image/png", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("", "application/json"),
        (";;,,/", "application/json"),
    ],
)
def test_accept_chooses_the_saliency(client: AsgiClient, models: Models, accept: str, media: str) -> None:
    response = post(client, "/v1/saliency", accept=accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == media
    assert response.headers["vary"] == "Accept"
    if media == "image/png":
        with Image.open(io.BytesIO(response.content)) as image:
            np.testing.assert_array_equal(np.asarray(image), pipeline.saliency(models, RED).mask)


def pair(client: AsgiClient, query: str = "", **parts: Any) -> httpx.Response:
    """Send the parts: bytes as a file, text as a field."""
    files = {name: ("a.jpg", part) if isinstance(part, bytes) else (None, part) for name, part in parts.items()}
    return client.post("/v1/duplicates" + query, files=files)


def embedding_of(client: AsgiClient, data: bytes = RED, **changes: Any) -> str:
    return json.dumps(post(client, "/v1/embed", data).json()["embedding"] | changes)


def test_embed_gives_what_duplicates_takes(client: AsgiClient, models: Models) -> None:
    response = post(client, "/v1/embed")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    version = models.embedder().manifest.version
    assert answer["model"] == {"name": "tiny_embedder", "version": version}
    values = np.frombuffer(base64.b64decode(answer["embedding"].pop("values")), "<f4")
    np.testing.assert_allclose(values, np.array([1, -1, -1]) / math.sqrt(3), rtol=1e-6)
    assert answer["embedding"] == {"model": "tiny_embedder", "version": version, "dimension": 3}
    assert (
        client.post("/v1/embed?model=tiny_embedder", files={"image": ("a", RED)}).json()
        == post(client, "/v1/embed").json()
    )


def test_duplicates_of_two_images(client: AsgiClient, models: Models) -> None:
    response = pair(client, image_a=RED, image_b=BLACK)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer == {
        "model": {"name": "tiny_embedder", "version": models.embedder().manifest.version},
        "is_duplicate": False,
        "decision": "not_duplicate",
        "reason": "The similarity of the embeddings is 0.333, below the threshold 0.900; not verified.",
        "verified": False,
        "similarity": pytest.approx(1 / 3),
        "threshold": 0.9,
        "threshold_source": "tuned",
        "probability": pytest.approx(1 / (1 + math.exp(8 - 10 / 3)), rel=1e-5),
        "margin": pytest.approx(1 / 3 - 0.9),
    }
    same = pair(client, image_a=RED, image_b=RED).json()
    assert (same["is_duplicate"], same["similarity"]) == (True, pytest.approx(1))


def test_duplicates_by_another_threshold(client: AsgiClient) -> None:
    answer = pair(client, "?threshold=0.3&model=tiny_embedder", image_a=RED, image_b=BLACK).json()
    assert (answer["is_duplicate"], answer["threshold"], answer["threshold_source"]) == (True, 0.3, "request")


def test_embeddings_stand_for_images(client: AsgiClient) -> None:
    red, black = embedding_of(client, RED), embedding_of(client, BLACK)
    sides: list[dict[str, Any]] = [
        {"image_a": RED, "embedding_b": black},
        {"embedding_a": red.encode(), "image_b": BLACK},
        {"embedding_a": red, "embedding_b": black},
    ]
    for parts in sides:
        response = pair(client, **parts)
        assert response.status_code == 200
        assert response.json()["similarity"] == pytest.approx(1 / 3)


def test_duplicates_explained(client: AsgiClient) -> None:
    answer = pair(client, "?explain=true", image_a=RED, embedding_b=embedding_of(client, BLACK)).json()
    assert set(answer["explanation"]) == {"picture_png", "a", "b"}
    assert answer["explanation"]["picture_png"] is answer["explanation"]["b"] is None
    mask = answer["explanation"]["a"]
    assert (mask["width"], mask["height"]) == (30, 20)
    with Image.open(io.BytesIO(base64.b64decode(mask["mask_png"]))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (30, 20))
        assert np.asarray(image).max() == 255
    assert "explanation" not in pair(client, "?explain=false", image_a=RED, image_b=RED).json()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "0" * 16}, "Embed the image again"),
        ({"dimension": 2}, "says 2 dimensions; tiny_embedder has 3"),
        ({"values": "AAAA"}, "3 bytes; 3 float32 values have 12"),
    ],
)
@pytest.mark.parametrize("side", ["embedding_a", "embedding_b"])
def test_foreign_embeddings(client: AsgiClient, changes: dict[str, Any], expected: str, side: str) -> None:
    other = "image_b" if side == "embedding_a" else "image_a"
    parts: dict[str, Any] = {side: embedding_of(client, **changes), other: RED}
    response = pair(client, **parts)
    detail = assert_problem(response, 422, "foreign_embedding")["detail"]
    assert detail.startswith(f"{side}: ")
    assert expected in detail


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"image_a": RED}, "no part named 'image_b' or 'embedding_b'"),
        ({"image_a": RED, "image_b": "http://localhost:3000/livez"}, "'image_b' is a text field"),
        ({"image_a": RED, "embedding_a": "{}", "image_b": RED}, "both 'image_a' and 'embedding_a'"),
        ({"image_a": RED, "embedding_b": "http://localhost:3000/livez"}, "embedding_b: The embedding is not the JSON"),
        ({"image": RED}, "part named 'image'"),
    ],
)
def test_forms_without_two_sides(client: AsgiClient, parts: dict[str, Any], words: str) -> None:
    assert words in assert_problem(pair(client, **parts), 400, "malformed_request")["detail"]


def test_duplicates_takes_no_raw_body(client: AsgiClient) -> None:
    assert "two parts" in assert_problem(post(client, "/v1/duplicates"), 400, "malformed_request")["detail"]


def test_an_embedding_over_its_limit(client: AsgiClient) -> None:
    response = pair(client, image_a=RED, embedding_b=b" " * 96_001)
    assert "embedding_b has more than 96000 bytes" in assert_problem(response, 413, "too_large")["detail"]


def test_where_no_embedder_is_served(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    settings = Settings(models_directory=tmp_path, threads=1, provider="cpu")
    client = AsgiClient(slow_api(settings, load_models(settings)))
    for response in (post(client, "/v1/embed"), pair(client, image_a=RED, image_b=RED)):
        assert "No embedder is served" in assert_problem(response, 404, "unknown_model")["detail"]


def test_where_only_an_embedder_is_served(tmp_path: Path) -> None:
    write_embedder(tmp_path / "tiny")
    settings = Settings(models_directory=tmp_path, threads=1, provider="cpu")
    client = AsgiClient(slow_api(settings, load_models(settings)))
    assert client.get("/readyz").status_code == 200
    assert post(client, "/v1/embed").status_code == 200
    for path in ("/v1/classify", "/v1/saliency"):
        assert "No classifier is served" in assert_problem(post(client, path), 404, "unknown_model")["detail"]


def test_models_are_listed(client: AsgiClient, models: Models) -> None:
    assert client.get("/v1/models").json() == responses.list_models(models).model_dump(mode="json")


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
def test_health(client: AsgiClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_before_the_models_are_there_only_liveness_answers() -> None:
    client = AsgiClient(HttpApi())
    assert client.get("/livez").status_code == 200
    for response in (client.get("/readyz"), client.get("/v1/models"), post(client, "/v1/classify")):
        assert_problem(response, 503, "overloaded")
        assert response.headers["retry-after"] == "1"


def test_requests_and_stages_are_counted_under_known_names(client: AsgiClient) -> None:
    post(client, "/v1/classify")
    client.get("/unknown/path")
    text = client.get("/metrics").text
    assert 'phototriage_requests_total{code="200",route="/v1/classify"}' in text
    assert 'phototriage_requests_total{code="404",route="other"}' in text
    assert "unknown" not in text
    for stage in ("read", "queue", "decode", "model"):
        assert f'phototriage_stage_seconds_count{{stage="{stage}"}}' in text


@pytest.mark.parametrize("path", ["/v1/classify", "/docs.json", "/nowhere", "/metrics"])
def test_every_answer_is_marked_as_data(client: AsgiClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/classify/", "/v1/models/tiny", "//livez", "/schema.json", "/static_content/x", "/%00"]
)
def test_unknown_paths(client: AsgiClient, path: str) -> None:
    assert_problem(client.get("http://test" + path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/classify"), ("POST", "/livez"), ("BREW", "/docs.json")])
def test_other_methods(client: AsgiClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] in ("POST", "GET, HEAD", "HEAD, GET")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/classify?topk=3", "'topk' here; this route takes model, top_k"),
        ("/v1/classify?top_k=0", "top_k is '0'"),
        ("/v1/classify?top_k=4", "from 1 to 3"),
        ("/v1/classify?top_k=many", "top_k is 'many'"),
        ("/v1/classify?top_k=1&top_k=2", "given twice"),
        ("/v1/classify?%ff%00=1", "takes model, top_k"),
        ("/v1/saliency?method=magic", "method is 'magic'"),
        ("/v1/saliency?top_k=1", "takes model, method, target"),
        ("/v1/embed?threshold=1", "takes model."),
        ("/v1/duplicates?top_k=1", "takes model, threshold, min_probability, explain"),
        ("/v1/duplicates?threshold=1.01", "threshold is '1.01'"),
        ("/v1/duplicates?threshold=-2", "threshold is '-2'"),
        ("/v1/duplicates?threshold=nan", "threshold is 'nan'"),
        ("/v1/duplicates?threshold=high", "threshold is 'high'"),
        ("/v1/duplicates?explain=perhaps", "explain is 'perhaps'"),
    ],
)
def test_queries_that_do_not_fit(client: AsgiClient, path: str, words: str) -> None:
    assert words in assert_problem(post(client, path), 400, "malformed_request")["detail"]


def test_queries_where_none_is_taken(client: AsgiClient) -> None:
    assert_problem(client.get("/v1/models?verbose=1"), 400, "malformed_request")


def test_unknown_model_and_label(client: AsgiClient) -> None:
    assert_problem(post(client, "/v1/classify?model=dogs"), 404, "unknown_model")
    assert_problem(post(client, "/v1/saliency?target=pink"), 422, "unknown_label")
    assert_problem(post(client, "/v1/embed?model=tiny"), 404, "unknown_model")
    response = pair(client, "?model=tiny", image_a=RED, image_b=RED)
    assert "there is tiny_embedder" in assert_problem(response, 404, "unknown_model")["detail"]


def test_addresses_are_not_fetched(client: AsgiClient) -> None:
    response = client.post("/v1/classify", files={"image": (None, "http://localhost:3000/livez")})
    assert "not fetched" in assert_problem(response, 400, "malformed_request")["detail"]
    response = post(client, "/v1/classify?url=http://localhost/")
    assert "not fetched" in assert_problem(response, 400, "malformed_request")["detail"]


def test_malformed_forms(client: AsgiClient) -> None:
    response = client.post("/v1/classify", content=b"x", headers={"content-type": "multipart/form-data"})
    assert_problem(response, 400, "malformed_request")
    assert_problem(client.post("/v1/classify", json={"image": "x"}), 400, "malformed_request")


def test_a_body_over_the_limit(client: AsgiClient, settings: Settings) -> None:
    assert_problem(post(client, "/v1/classify", content_length="99999999"), 413, "too_large")


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(client: AsgiClient, name: str) -> None:
    data, status, code = BAD[name]
    assert_problem(post(client, "/v1/classify", data), status, code)
    files = {"image": (name, data, "image/jpeg")}
    assert_problem(client.post("/v1/saliency", files=files), status, code)
    assert_problem(post(client, "/v1/embed", data), status, code)
    for side, other in (("image_a", "image_b"), ("image_b", "image_a")):
        parts: dict[str, Any] = {side: data, other: RED}
        detail = assert_problem(pair(client, **parts), status, code)["detail"]
        assert side in detail
        assert other not in detail


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_answered(client: AsgiClient, name: str) -> None:
    assert post(client, "/v1/classify", GOOD[name]).status_code == 200
    assert post(client, "/v1/saliency", GOOD[name], accept="image/png").status_code == 200
    answer = pair(client, "?explain=true", image_a=GOOD[name], image_b=GOOD[name])
    assert answer.json()["similarity"] == pytest.approx(1)
    assert post(client, "/v1/embed", GOOD[name]).status_code == 200


def test_a_bug_of_ours_is_a_problem_without_a_trace(
    api: HttpApi, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(models.classifier(), "run", fail)
    response = post(AsgiClient(api, raise_errors=False), "/v1/classify")
    assert "secret" not in assert_problem(response, 500, "internal_error")["detail"]


def slow_api(settings: Settings, models: Models, **changes: Any) -> HttpApi:
    api = HttpApi()
    api.start(settings.model_copy(update=changes), models)
    return api


def test_past_the_deadline(settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(models.classifier(), "run", lambda *_: release.wait(5))
    api = slow_api(settings, models, deadline_seconds=0.1)
    response = post(AsgiClient(api), "/v1/classify")
    release.set()
    assert_problem(response, 504, "deadline_exceeded")


def call(api: HttpApi, receive: Any, headers: dict[str, str]) -> list[Message]:
    """Send one POST /v1/classify by hand, and give what the application sent."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/classify",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(api(scope, receive, send))
    return sent


def test_a_body_that_never_ends_is_cut_at_the_deadline(settings: Settings, models: Models) -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    api = slow_api(settings, models, deadline_seconds=0.1)
    start, body = call(api, receive, {"content-type": "image/png"})
    assert start["status"] == 504
    assert b"took longer than 0.1 s to come in" in body["body"]


def test_a_client_that_goes_away_is_counted_and_not_logged(
    api: HttpApi, caplog: pytest.LogCaptureFixture, client: AsgiClient
) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    call(api, receive, {"content-type": "image/png"})
    assert 'code="499",route="/v1/classify"' in client.get("/metrics").text
    assert caplog.records == []


def test_uploads_are_bounded(settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MAX_UPLOADS", 1)
    client = AsgiClient(slow_api(settings, models))
    assert post(client, "/v1/classify").status_code == 200
    response = pair(client, image_a=RED, image_b=RED)  # two images at once
    assert "coming in" in assert_problem(response, 503, "overloaded")["detail"]
    assert response.headers["retry-after"] == "1"
    monkeypatch.setattr(receiving, "MAX_UPLOADS", 0)
    assert_problem(post(client, "/v1/classify"), 503, "overloaded")


def test_more_than_the_queue_holds_is_refused_and_the_rest_is_answered(
    settings: Settings, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    run = models.classifier().run

    def wait(*given: Any) -> Any:
        release.wait(5)
        return run(*given)

    monkeypatch.setattr(models.classifier(), "run", wait)
    api = slow_api(settings, models, threads=1)

    async def main() -> list[int]:
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            requests = [
                asyncio.create_task(client.post("/v1/classify", content=RED, headers={"content-type": "image/png"}))
                for _ in range(8)
            ]
            refused, _ = await asyncio.wait(requests, timeout=1)
            assert {task.result().status_code for task in refused} == {503}
            alive = await client.get("/readyz")
            assert alive.status_code == 200
            release.set()
            return sorted(response.status_code for response in await asyncio.gather(*requests))

    assert asyncio.run(main()) == [200] * 5 + [503] * 3
