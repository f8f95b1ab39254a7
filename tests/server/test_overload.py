"""Ten times as much as a server can do: it does what it can, and says no to the rest at once."""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from phototriage.models.model_set import Models
from phototriage.server.http_api import HttpApi
from phototriage.server.serving import STUCK_DEADLINES
from phototriage.settings import Settings
from phototriage.triage import pipeline
from tests.asgi_client import AsgiClient
from tests.http_clients import ALIVE, METRICS, MODES, READY, RED, Ask, Crowd, running, values, wait_until
from tests.running_server import SECONDS
from tests.tiny_models import solid

DEADLINE = Settings().deadline_seconds
CLIENTS = 100
PAUSE = 0.5  # seconds of each client between its requests: half of what Retry-After asks for
REFUSAL_SECONDS = 0.5  # ten times what a refusal may take where nothing else keeps the cores busy


@cache
def large() -> Ask:
    """Takes about a tenth of a second to decode, on an idle core."""
    return Ask(body=solid((255, 0, 0), 3000, 4000))


def percentile_bound(exposition: str, name: str, share: float) -> float:
    """An upper bound of so large a share of a histogram's values: the bound of the first bucket that holds it."""
    found = values(exposition)
    buckets = {float(dict(labels)["le"]): n for (metric, labels), n in found.items() if metric == name + "_bucket"}
    return min(bound for bound, held in buckets.items() if held >= share * buckets[float("inf")])


def test_the_bound_of_a_histogram_by_hand() -> None:
    lines = [f'a_bucket{{le="{bound}"}} {held}' for bound, held in (("0.1", 98.0), ("0.5", 99.0), ("+Inf", 100.0))]
    for share, bound in (0.5, 0.1), (0.98, 0.1), (0.99, 0.5), (1, float("inf")):
        assert percentile_bound("\n".join(["# TYPE a histogram", *lines]), "a", share) == bound


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_ten_times_the_capacity(models_directory: Path, tmp_path: Path, mode: dict[str, str]) -> None:
    with running(tmp_path, models_directory, mode | {"PHOTOTRIAGE_THREADS": "1"}) as server:
        with (
            Crowd(server, 1, ALIVE, pause=0.1) as alive,
            Crowd(server, 1, READY, pause=0.1) as ready,
            Crowd(server, 1, METRICS, pause=0.1) as metrics,
            Crowd(server, CLIENTS, large(), pause=PAUSE) as crowd,
        ):
            crowd.await_answers(3)
        exposition = httpx.get(server.address + "/metrics", timeout=SECONDS).text
        assert "Traceback" not in server.log
    assert set(crowd.statuses) == {200, 503}
    assert crowd.statuses[503] > crowd.statuses[200]
    for each in crowd.outcomes:
        if each.status == 200:
            assert json.loads(each.body)["label"] == "red"
        else:
            assert each.headers["retry-after"] == "1"
            assert json.loads(each.body)["code"] == "overloaded"
    # The server's deadline begins with its reading of the head, so a client may see a little more.
    assert max(each.done - each.sent for each in crowd.outcomes if each.status == 200) < 2 * DEADLINE
    for others in alive, ready, metrics:
        assert set(others.statuses) == {200}
        assert len(others.outcomes) >= 5
    refusals = "phototriage_refusal_seconds"
    assert values(exposition)[refusals + "_count", frozenset()] == crowd.statuses[503]
    assert percentile_bound(exposition, refusals, 0.99) <= REFUSAL_SECONDS


def test_work_that_hangs_makes_the_server_unready(
    models: Models, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it does: a thread can't be stopped, and one that comes back after all works again."""
    release, run_models = Event(), pipeline.run_models

    def hang(*given: Any) -> Any:
        release.wait(SECONDS)
        return run_models(*given)

    monkeypatch.setattr(pipeline, "run_models", hang)
    deadline = 0.2
    api = HttpApi()
    api.start(settings.model_copy(update={"deadline_seconds": deadline}), models)
    client = AsgiClient(api)
    try:
        assert client.get("/readyz").status_code == 200
        begun = time.monotonic()
        answer = client.post("/v1/classify", content=RED, headers={"content-type": "image/png"})
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        wait_until(lambda: client.get("/readyz").status_code == 503)
        assert time.monotonic() - begun > STUCK_DEADLINES * deadline
        response = client.get("/readyz")
        assert (response.json()["code"], response.headers["retry-after"]) == ("overloaded", "1")
        assert "Work has been running for more than 0.6 s" in response.json()["detail"]
        assert client.get("/livez").status_code == 200
        release.set()
        wait_until(lambda: client.get("/readyz").status_code == 200)
    finally:
        release.set()
        api.stop()
