from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema import ValidationError as SchemaError
from pydantic import BaseModel

from phototriage.contract import openapi
from phototriage.models.model_set import Models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from phototriage.triage.comparison_schemas import DuplicatesQuery
from phototriage.triage.schemas import ClassifyQuery, ModelQuery, SaliencyQuery
from tests.asgi_client import AsgiClient
from tests.hostile_files import bad_files
from tests.tiny_models import solid

DOCUMENT = openapi.document()
RED = solid((255, 0, 0))


@pytest.fixture(scope="module")
def api(settings: Settings, models: Models) -> Iterator[HttpApi]:
    api = HttpApi()
    api.start(settings, models)
    yield api
    api.stop()


@pytest.fixture(scope="module")
def client(api: HttpApi) -> AsgiClient:
    return AsgiClient(api)


def described() -> set[tuple[str, str]]:
    return {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def assert_fits(instance: Any, schema: dict[str, Any]) -> None:
    """Validate against a schema of the document, which allows other fields than it names; these tests don't."""
    known = DOCUMENT["components"]["schemas"]
    schemas = {name: {**each, "additionalProperties": False} for name, each in known.items()}
    Draft202012Validator({**schema, "components": {"schemas": schemas}}).validate(instance)


def test_the_document_is_served(client: AsgiClient) -> None:
    response = client.get("/docs.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == DOCUMENT


def test_routes_and_document_are_the_same_set(api: HttpApi) -> None:
    served = {(path, each.lower()) for path, route in api.routes.items() for each in route.methods if each != "HEAD"}
    assert served == described()


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    found = set(references(DOCUMENT))
    assert found
    prefix = "#/components/schemas/"
    assert {each.removeprefix(prefix) for each in found} <= set(DOCUMENT["components"]["schemas"])


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", ["/v1/models", "/livez", "/readyz", "/healthz", "/docs.json"])
def test_live_answers_fit(client: AsgiClient, path: str) -> None:
    content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
    assert_fits(client.get(path).json(), content["application/json"]["schema"])


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/saliency", "/v1/saliency?method=featout", "/v1/embed"])
@pytest.mark.parametrize("raw", [True, False])
def test_live_answers_about_images_fit(client: AsgiClient, path: str, raw: bool) -> None:
    body: dict[str, Any] = (
        {"content": RED, "headers": {"content-type": "image/png"}} if raw else {"files": {"image": ("a", RED)}}
    )
    content = DOCUMENT["paths"][path.partition("?")[0]]["post"]["responses"]["200"]["content"]
    assert_fits(client.post(path, **body).json(), content["application/json"]["schema"])


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/saliency", "/v1/embed"])
def test_live_problems_are_announced_and_fit(client: AsgiClient, path: str) -> None:
    responses = DOCUMENT["paths"][path]["post"]["responses"]
    for data, status, _ in bad_files().values():
        answer = client.post(path, content=data, headers={"content-type": "image/png"})
        content = responses[str(status)]["content"]
        assert_fits(answer.json(), content[answer.headers["content-type"]]["schema"])


def test_live_answers_about_pairs_fit_and_so_do_the_forms(client: AsgiClient) -> None:
    operation = DOCUMENT["paths"]["/v1/duplicates"]["post"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    embedding = client.post("/v1/embed", files={"image": ("a", RED)}).json()["embedding"]
    as_json = json.dumps(embedding)
    for explain in ("true", "false"):
        files = {"image_a": ("a", RED), "embedding_b": (None, as_json)}
        assert_fits(client.post(f"/v1/duplicates?explain={explain}", files=files).json(), answer)
    assert_fits({"image_a": "bytes", "embedding_b": embedding}, form)
    assert_fits({"image_a": "bytes", "image_b": "bytes"}, form)
    for wrong in ({"image_a": ""}, {"image_a": "", "image_b": "", "embedding_b": embedding}, {"image": ""}):
        with pytest.raises(SchemaError):
            assert_fits(wrong, form)
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data"}


def test_live_problems_about_pairs_are_announced_and_fit(client: AsgiClient) -> None:
    responses = DOCUMENT["paths"]["/v1/duplicates"]["post"]["responses"]
    for data, status, _ in bad_files().values():
        answer = client.post("/v1/duplicates", files={"image_a": ("a", RED), "image_b": ("b", data)})
        content = responses[str(status)]["content"]
        assert_fits(answer.json(), content[answer.headers["content-type"]]["schema"])
    assert "foreign_embedding" in responses["422"]["description"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/classify", ClassifyQuery),
        ("/v1/saliency", SaliencyQuery),
        ("/v1/embed", ModelQuery),
        ("/v1/duplicates", DuplicatesQuery),
    ],
)
def test_parameters_are_those_that_the_route_reads(path: str, query: type[BaseModel]) -> None:
    parameters = DOCUMENT["paths"][path]["post"]["parameters"]
    assert {each["name"] for each in parameters} == set(query.model_fields)
    for each in parameters:
        Draft202012Validator.check_schema(each["schema"])
        assert each["description"]


def test_both_forms_of_the_body_are_described() -> None:
    content = DOCUMENT["paths"]["/v1/classify"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "image/*", "application/octet-stream"}
