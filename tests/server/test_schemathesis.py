"""What the OpenAPI document promises, held against requests that Schemathesis makes to fit it and not to fit it.

Its engine is called and not its pytest plugin, which gives all operations one node id under pytest 9.2: of those,
xdist runs a single one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies
from pydantic import SecretStr
from schemathesis import BaseSchema, Case, CheckContext, Config, Response
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from phototriage.contract.operation import Operation
from phototriage.contract.routes import OPERATIONS
from phototriage.models.model_set import load_models
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.asgi_client import AsgiClient
from tests.hostile_files import good_files
from tests.scored_models import write_scored
from tests.tiny_models import solid, write_embedder

EXAMPLES = 100  # random requests an operation, beside those that its schemas' limits suggest
KEY = "a key of the tests"
CONFIG = {
    "headers": {"X-API-Key": KEY},
    "seed": 1,
    "workers": 1,
    "warnings": False,
    "generation": {"deterministic": True, "max-examples": EXAMPLES, "no-shrink": True, "database": "none"},
    "parameters": {"path.collection": "known", "path.id": "first"},
    "phases": {"stateful": {"enabled": False}},  # no answer leads to another request
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503", "504"]},
        "negative_data_rejection": {"expected-statuses": ["4xx", "503", "504"]},  # also 413, for too many
        "positive_data_acceptance": {"enabled": False},  # by status; ours below is by code
    },
}
UNKNOWN = ("unknown_model", "unknown_label", "foreign_embedding", "unknown_collection", "unknown_photo")
# Of a triage: what is of the collection, without one; and what is of a photo that is added, without adding it.
UNSAID = ("so it goes from 1 to", "A photo is a duplicate of itself", "and no collection", "of a photo that is added")
COLLECTION, PHOTOS = "/v1/collections/known", ("first", "second")


@schemathesis.check
def what_fits_is_answered(_: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """A schema can't say which models, labels and embeddings there are, nor how many labels; it says all else."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code == 200:
        return None
    problem = json.loads(response.content)
    assert problem["code"] in UNKNOWN or any(each in problem["detail"] for each in UNSAID), problem
    return None


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    """The document of an application that serves one model of each kind."""
    directory = tmp_path_factory.mktemp("models")
    write_scored(directory)
    write_embedder(directory / "tiny_embedder")
    keys = (SecretStr(KEY),)
    settings = Settings(
        models_directory=directory,
        threads=1,
        provider="cpu",
        api_keys=keys,
        log_requests=False,
        collections=tmp_path_factory.mktemp("collections"),
    )
    for media in ("image/*", "application/octet-stream"):
        schemathesis.openapi.media_type(media, strategies.sampled_from(sorted(good_files().values())))
    api = HttpApi()
    api.start(settings, load_models(settings))
    document = AsgiClient(api).get("/docs.json").json()
    # Of an array of files Schemathesis takes the encoding for that of the array, and sends a text.
    for methods in document["paths"].values():
        form = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("multipart/form-data", {})
        if "images" in form.get("encoding", {}):
            del form["encoding"]
    schema = schemathesis.openapi.from_dict(document, config=Config.from_dict(CONFIG))
    schema.app = api
    yield schema
    api.stop()


def name_of(operation: Operation) -> str:
    return f"{operation.method.upper()} {operation.path}"


def make_collection(api: HttpApi) -> None:
    """The one that requests name, with two photos, whatever an operation before has done to it."""
    client, key = AsgiClient(api), {"x-api-key": KEY}
    assert client.request("PUT", COLLECTION, headers=key).status_code == 200
    for photo, colour in zip(PHOTOS, ((255, 0, 0), (0, 90, 0)), strict=True):
        headers = {**key, "content-type": "image/png"}
        added = client.post(f"{COLLECTION}/photos?id={photo}", content=solid(colour), headers=headers)
        assert added.status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_the_document_is_kept(schema: BaseSchema, operation: Operation) -> None:
    if operation.path_names:
        make_collection(schema.app)
    statuses: Counter[tuple[str, int]] = Counter()
    for event in from_schema(schema.include(name=name_of(operation))).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if isinstance(event, events.ScenarioFinished):
            assert not (told := list(failures(event.recorder))), "\n".join(told)
            statuses.update(answers(event.recorder))
    if operation.name == "mark_not_duplicates":  # photos of any ids are hardly ever there
        assert statuses["positive", 404] > 0
    else:  # what is deleted is there once, for the first request
        assert statuses["positive", 200] + (operation.method == "DELETE") * statuses["negative", 200] > 0
    assert statuses["negative", 405] > 0
    if operation.query is not None:
        assert statuses["negative", 400] > 0
        assert statuses.total() > EXAMPLES / 2  # fewer where there is little to vary


def failures(recorder: ScenarioRecorder) -> Iterator[str]:
    """Each failed check, with the request as a curl command."""
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                yield f"{check.name}: {failure.title}: {failure.message}\n{check.failure_info.code_sample}"


def answers(recorder: ScenarioRecorder) -> Iterator[tuple[str, int]]:
    """What each request was made to be, and the status that it got."""
    for name, interaction in recorder.interactions.items():
        meta = recorder.cases[name].value.meta
        assert meta is not None
        assert interaction.response is not None
        yield meta.generation.mode.value, interaction.response.status_code
