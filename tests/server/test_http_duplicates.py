"""Pairs over HTTP by the shipped embedder, which verifies: what decides, and what is told and drawn of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from phototriage.models.model_set import load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.server.test_openapi import DOCUMENT, assert_fits
from tests.tiny_models import png_of, solid
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[2]
DRAWN = drawn_photo(3)  # 240 × 320
PHOTO, OTHER = png_of(DRAWN), png_of(drawn_photo(4))
TOP, LEFT = 30, 20  # of the crop
CROP = png_of(np.ascontiguousarray(DRAWN[TOP:200, LEFT:260]))
MIRRORED = png_of(np.ascontiguousarray(DRAWN[:, ::-1]))
GREY = solid((200, 200, 200), height=60, width=80)
PNG = {"accept": "image/png"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsgiClient]:
    directory = tmp_path_factory.mktemp("models")
    (directory / "near_duplicates").symlink_to(ROOT / "exported_models/near_duplicates")
    settings = Settings(models_directory=directory, threads=1, provider="cpu", log_requests=False)
    api = HttpApi()
    api.start(settings, load_models(settings))
    yield AsgiClient(api)
    api.stop()


def ask(client: AsgiClient, query: str = "", headers: dict[str, str] | None = None, **parts: Any) -> httpx.Response:
    """Send the parts: bytes as a file, text as a field."""
    files = {name: ("a.png", part) if isinstance(part, bytes) else (None, part) for name, part in parts.items()}
    return client.post("/v1/duplicates" + query, files=files, headers=headers or {})


def answer(client: AsgiClient, query: str = "", **parts: Any) -> dict[str, Any]:
    response = ask(client, query, **parts)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def embedding_of(client: AsgiClient, photo: bytes) -> dict[str, Any]:
    response = client.post("/v1/embed", content=photo, headers={"content-type": "image/png"})
    embedding: dict[str, Any] = response.json()["embedding"]
    return embedding


def unsigned(client: AsgiClient, photo: bytes) -> str:
    """An embedding as it was kept before there were signatures."""
    embedding = embedding_of(client, photo)
    del embedding["signature"]
    return json.dumps(embedding)


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return image.size


def test_a_crop_is_a_duplicate_and_verified(client: AsgiClient) -> None:
    found = answer(client, image_a=PHOTO, image_b=CROP)
    assert (found["is_duplicate"], found["decision"], found["verified"]) == (True, "duplicate", True)
    assert found["probability"] >= found["min_probability"]
    evidence = found["evidence"]
    assert evidence["matched_points"] > 10
    assert evidence["scale"] == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(np.array(evidence["affine"])[:, 2], [-TOP, -LEFT], atol=2)
    assert evidence["share_of_a"] == pytest.approx(170 * 240 / (240 * 320), abs=0.03)
    assert evidence["share_of_b"] == pytest.approx(1, abs=0.03)
    corners = np.array(evidence["region_of_a"])
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], [[TOP, LEFT], [200, 260]], atol=2)
    assert f"By {evidence['matched_points']} matched points" in found["reason"]
    content = DOCUMENT["paths"]["/v1/duplicates"]["post"]["responses"]["200"]["content"]
    assert_fits(found, content["application/json"]["schema"])


def test_a_mirrored_copy_is_told_as_one(client: AsgiClient) -> None:
    evidence = answer(client, image_a=PHOTO, image_b=MIRRORED)["evidence"]
    assert (evidence["mirrored"], evidence["words"]) == (True, "mirrored")


def test_another_image_is_none_though_its_similarity_reaches_the_threshold(client: AsgiClient) -> None:
    found = answer(client, image_a=PHOTO, image_b=OTHER)
    assert found["similarity"] > found["threshold"]
    assert (found["is_duplicate"], found["decision"], found["verified"]) == (False, "not_duplicate", True)
    assert found["probability"] < found["min_probability"]


@pytest.mark.parametrize("other", [CROP, OTHER], ids=["crop", "other"])
def test_kept_embeddings_give_the_answer_of_their_images(client: AsgiClient, other: bytes) -> None:
    kept_a, kept_b = (json.dumps(embedding_of(client, each)) for each in (PHOTO, other))
    expected = answer(client, image_a=PHOTO, image_b=other)
    for parts in ({"embedding_a": kept_a, "embedding_b": kept_b}, {"embedding_a": kept_a, "image_b": other}):
        found = answer(client, "", **parts)
        for name in ("similarity", "margin"):  # a batch of two may round otherwise than two of one
            assert found.pop(name) == pytest.approx(expected[name], abs=1e-5)
        assert found == {name: value for name, value in expected.items() if name not in ("similarity", "margin")}


def test_without_a_signature_the_similarity_decides(client: AsgiClient) -> None:
    found = answer(client, embedding_a=unsigned(client, PHOTO), image_b=OTHER)
    assert (found["decision"], found["verified"]) == ("duplicate", False)
    assert found["reason"].endswith(f"at least the threshold {found['threshold']:.3f}; not verified.")
    assert not {"evidence", "min_probability", "explanation"} & set(found)


@pytest.mark.parametrize(
    ("query", "decision"),
    [
        ("?threshold=0.99", "not_duplicate"),
        ("?threshold=0.1", "duplicate"),
        ("?threshold=0.1&min_probability=1", "duplicate"),
    ],
)
def test_a_threshold_that_is_asked_for_decides_alone(client: AsgiClient, query: str, decision: str) -> None:
    for image in (CROP, OTHER):
        found = answer(client, query, image_a=PHOTO, image_b=image)
        assert (found["decision"], found["verified"], found["threshold_source"]) == (decision, False, "request")
        assert "min_probability" not in found


@pytest.mark.parametrize(
    ("least", "image", "decision"), [(1, CROP, "not_duplicate"), (0, OTHER, "duplicate"), (0, GREY, None)]
)
def test_the_least_probability_may_be_asked_for(
    client: AsgiClient, least: float, image: bytes, decision: str | None
) -> None:
    found = answer(client, f"?min_probability={least}", image_a=PHOTO, image_b=image)
    assert (found["decision"], found["verified"]) == (decision or "too_little_content", True)
    assert (found["min_probability"], found["threshold_source"]) == (least, "tuned")


@pytest.mark.parametrize("least", ["1.1", "-0.1", "nan", "often"])
def test_a_probability_that_is_none(client: AsgiClient, least: str) -> None:
    response = ask(client, f"?min_probability={least}", image_a=PHOTO, image_b=PHOTO)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
    assert "min_probability" in response.json()["detail"]


def test_plain_images_have_nothing_to_compare(client: AsgiClient) -> None:
    for parts, words in (
        ({"image_a": GREY, "image_b": GREY}, "Both images are"),
        ({"image_a": GREY, "image_b": PHOTO}, "Image A is"),
        ({"image_a": PHOTO, "image_b": GREY}, "Image B is"),
    ):
        found = answer(client, "", **parts)
        assert (found["is_duplicate"], found["decision"]) == (False, "too_little_content")
        assert found["reason"] == f"{words} next to plain: there is nothing to compare."
        assert "evidence" not in found


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


@pytest.mark.parametrize(
    ("signature", "detail"),
    [
        ("!", "it is not base64"),
        ("é", "it is not base64"),
        ("", "it has 0 bytes"),
        (base64_of(bytes(30_000)), "it has 30000 bytes, and a signature has 10 to 24000"),
        (base64_of(b"\x07" + bytes(40)), "its format is 7"),
        (base64_of(b"\x01" + bytes(3) + b"P" + bytes(3) + b"Pno JPEG"), "its grey copy can't be decoded"),
    ],
)
def test_a_broken_signature_is_refused(client: AsgiClient, signature: str, detail: str) -> None:
    broken = json.dumps(embedding_of(client, PHOTO) | {"signature": signature})
    response = ask(client, image_a=PHOTO, embedding_b=broken)
    assert (response.status_code, response.json()["code"]) == (422, "foreign_embedding")
    assert response.json()["detail"].startswith(f"embedding_b: The embedding's signature can't be read: {detail}")
    assert "leave it out" in response.json()["detail"]


def test_accept_chooses_the_picture(client: AsgiClient) -> None:
    drawn = ask(client, "?explain=true", PNG, image_a=PHOTO, image_b=CROP)
    assert (drawn.headers["content-type"], drawn.headers["vary"]) == ("image/png", "Accept")
    told = ask(client, "?explain=true", image_a=PHOTO, image_b=CROP)
    assert (told.headers["content-type"], told.headers["vary"]) == ("application/json", "Accept")
    explanation = told.json()["explanation"]
    assert base64.b64decode(explanation["picture_png"]) == drawn.content
    assert size_of(base64.b64decode(explanation["b"]["mask_png"])) == (240, 170)
    assert size_of(drawn.content)[0] > 320 + 240  # side by side
    asked = ask(client, "", PNG, image_a=PHOTO, image_b=CROP)
    assert asked.headers["content-type"] == "application/json"


def test_a_picture_counts_as_an_answer(client: AsgiClient) -> None:
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("phototriage_duplicates_total{"))

    before = counted()
    ask(client, "?explain=true", PNG, image_a=PHOTO, image_b=CROP)
    assert counted() == before + 1


def test_an_embedding_is_drawn_from_its_signature_and_not_without_one(client: AsgiClient) -> None:
    kept = json.dumps(embedding_of(client, CROP))
    drawn = ask(client, "?explain=true", PNG, image_a=PHOTO, embedding_b=kept)
    assert size_of(drawn.content)[0] > 320
    explanation = answer(client, "?explain=true", image_a=PHOTO, embedding_b=unsigned(client, CROP))["explanation"]
    assert (explanation["picture_png"], explanation["b"]) == (None, None)
    refused = ask(client, "?explain=true", PNG, image_a=PHOTO, embedding_b=unsigned(client, CROP))
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")
    assert refused.json()["detail"].startswith("embedding_b has no signature")


def test_manifests_tell_how_it_is_verified(client: AsgiClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert 0 < model["verification"]["threshold"] < 1
    assert all(0 <= each["missed"] <= 1 for each in model["verification"]["held_out"])
    assert isinstance(model["same_embeddings_as"], list)


def test_an_embedding_of_a_version_that_embeds_alike_is_taken(client: AsgiClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    for version in model["same_embeddings_as"]:
        older = json.dumps(json.loads(unsigned(client, PHOTO)) | {"version": version})
        assert answer(client, embedding_a=older, image_b=CROP)["similarity"] > 0.5
