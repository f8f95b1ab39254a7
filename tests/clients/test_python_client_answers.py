"""The Python client's models, routes and errors against the OpenAPI document."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import phototriage_client
import pytest
from phototriage_client import (
    AsyncClient,
    AsyncCollection,
    Client,
    ClientError,
    Collection,
    Embedding,
    Problem,
    ProblemDetails,
    UnexpectedAnswer,
    answers,
    collection_answers,
    errors,
)
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tests.tiny_models import solid

ROOT = Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "clients/openapi.json").read_text(encoding="utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]
RENAMED = {"ProblemDetails": "Problem"}  # Problem is the exception
RED = solid((255, 0, 0))
KEPT = Embedding(model="m", version="v", dimension=1, values="AACAPw==")
TYPES = ("type", "$ref", "anyOf", "items", "prefixItems", "minItems", "maxItems", "enum", "const", "contentEncoding")


def own_schemas() -> dict[str, Any]:
    named = [*vars(answers).values(), *vars(collection_answers).values()]
    parts = [each for each in named if isinstance(each, type) and issubclass(each, BaseModel)]
    public = [each for each in parts if not each.__name__.startswith("_") and each not in (BaseModel, answers.Answer)]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(each, "serialization") for each in public]
    _, found = models_json_schema(models, ref_template="{model}")
    return {RENAMED.get(name, name): schema for name, schema in found["$defs"].items()}


def type_of(schema: Any) -> Any:
    """A schema without what bounds and describes values."""
    if isinstance(schema, list):
        return [type_of(each) for each in schema]
    if not isinstance(schema, dict):
        name = schema.rsplit("/", 1)[-1] if isinstance(schema, str) else schema
        return RENAMED.get(name, name) if isinstance(name, str) else name
    kept = {key: type_of(value) for key, value in schema.items() if key in TYPES}
    more = schema.get("additionalProperties")
    return kept | ({"additionalProperties": type_of(more)} if isinstance(more, dict) else {})


def may_be_null(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", [])


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a field that is left out where there is nothing: in Python it is None then."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 and schema.get("default", 0) is None else schema


def test_every_schema_of_the_document_has_its_model() -> None:
    assert set(own_schemas()) == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_fields_are_those_of_the_document(name: str) -> None:
    own, expected = own_schemas()[name], SCHEMAS[name]
    found = {
        field: type_of(schema if may_be_null(expected["properties"].get(field, {})) else without_null(schema))
        for field, schema in own["properties"].items()
    }
    assert found == {field: type_of(schema) for field, schema in expected["properties"].items()}
    assert set(own.get("required", [])) == set(expected.get("required", []))
    defaults = {field: schema["default"] for field, schema in expected["properties"].items() if "default" in schema}
    assert {field: own["properties"][field].get("default") for field in defaults} == defaults


def test_a_field_more_is_passed_over_and_one_less_is_not() -> None:
    answer = answers.Health.model_validate_json('{"status": "ready", "since": 3}')
    assert answer == answers.Health(status="ready")
    replies = {"/livez": httpx.Response(200, json={"state": "ready"})}
    client = Client(transport=httpx.MockTransport(lambda request: replies[request.url.path]))
    with client, pytest.raises(UnexpectedAnswer, match=r"livez gave no Health: status: Field required") as caught:
        client.live()
    assert caught.value.attempts == 0


def test_every_code_of_the_document_has_its_class() -> None:
    told = re.findall(r"\(`(\w+)`\)", json.dumps(DOCUMENT["paths"]))
    assert set(told) | {"not_found", "method_not_allowed", "internal_error"} == {
        each.known_code for each in Problem.__subclasses__()
    }


def test_a_problem_says_all_that_the_server_did() -> None:
    details = ProblemDetails(title="Too much", status=413, code="too_large", detail="3 of 2")
    problem = Problem.of(details, "abc")
    assert type(problem) is errors.TooLarge
    assert (problem.code, problem.status, problem.request_id) == ("too_large", 413, "abc")
    assert str(problem) == "Too much: 3 of 2 (too_large, HTTP 413)"
    assert type(Problem.of(details.model_copy(update={"code": "new_code"}))) is Problem


def test_errors_travel_between_processes() -> None:
    problem = Problem.of(ProblemDetails(title="t", status=503, code="overloaded", detail="d"), "abc", 2.0)
    problem.attempts = 3
    for error in (problem, errors.UnreadableImage("d"), errors.TimedOut("d", begun=False)):
        copy: ClientError = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)


@pytest.mark.parametrize("whole", [True, False])
def test_an_embedding_is_kept_as_json(whole: bool) -> None:
    text = json.dumps({"model": {"name": "m", "version": "v"}, "embedding": json.loads(KEPT.to_json())})
    embedding = Embedding.from_json(text if whole else KEPT.to_json().encode())
    assert embedding == KEPT
    assert embedding.floats() == [1.0]
    assert embedding.vector().tolist() == [1.0]


def test_an_embedding_keeps_its_signature_and_an_old_one_has_none() -> None:
    signed = KEPT.model_copy(update={"signature": "AQID"})
    assert Embedding.from_json(signed.to_json()) == signed
    assert json.loads(signed.to_json())["signature"] == "AQID"
    old = '{"model":"m","version":"v","dimension":1,"values":"AACAPw=="}'
    assert Embedding.from_json(old).signature is None
    assert Embedding.from_json(old).to_json() == old


def test_a_picture_is_asked_for_by_accept() -> None:
    png = b"\x89PNG\r\n\x1a\n of the pair"
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, content=png)

    async def take_in_loop() -> bytes:
        async with AsyncClient(transport=httpx.MockTransport(take)) as client:
            return await client.duplicates_png(RED, KEPT)

    with Client(transport=httpx.MockTransport(take)) as client:
        assert client.duplicates_png(RED, KEPT) == png
    assert asyncio.run(take_in_loop()) == png
    assert [(each.headers["accept"], each.url.query) for each in sent] == [("image/png", b"explain=true")] * 2


def test_an_explanation_has_its_picture_as_bytes() -> None:
    drawn = answers.Explanation(picture_png="iVBORw==", a=None, b=None)
    assert drawn.picture == b"\x89PNG"
    assert drawn.model_copy(update={"picture_png": None}).picture is None


@pytest.mark.parametrize(("values", "message"), [("AACA", "3 bytes"), ("é", "not base64")])
def test_an_embedding_that_is_not_whole_says_so(values: str, message: str) -> None:
    broken = KEPT.model_copy(update={"values": values})
    for read in (broken.floats, broken.vector):
        with pytest.raises(ValueError, match=message):
            read()
    with pytest.raises(ValueError, match="JSON"):
        Embedding.from_json("values")


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(phototriage_client, name) for name in phototriage_client.__all__)


def test_it_imports_nothing_of_the_server() -> None:
    sources = (ROOT / "clients/python/src/phototriage_client").glob("*.py")
    imported = {
        name.split(".")[0]
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {"phototriage_client", "httpx", "pydantic", "numpy", "PIL"}


def test_both_clients_take_the_same_calls() -> None:
    def calls(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in methods if name[0] != "_"}

    assert calls(Client) == calls(AsyncClient)
    assert "triage_many" in calls(Client)
    assert calls(Collection) == calls(AsyncCollection)
    assert "add_many" in calls(Collection)
