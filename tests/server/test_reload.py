"""Models exchanged under load, as an export exchanges them: no answer but 200, and the new version after the old."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from phototriage.model_folder import manifest
from tests.http_clients import MODES, Ask, Client, Crowd, Outcome, running, wait_until
from tests.running_server import SECONDS, Server
from tests.tiny_models import write_embedder, write_model

KEY = {"authorization": "Bearer a-key-for-this-test-alone"}
CLASSIFY = Ask(headers={"content-type": "image/png"} | KEY)
CLIENTS = 4
READ = "Models read again: "
SCALES = count(20)
PADDING = 300_000_000  # bytes that make reading a folder take a while


class Served(NamedTuple):
    server: Server
    folder: Path  # of the model that is exchanged
    workers: int

    @property
    def told(self) -> list[str]:
        """What workers have written of reloads that a signal asked for, one each."""
        return [line.partition(READ)[2] for line in self.server.log.splitlines() if READ in line]

    @property
    def version(self) -> str:
        """Of what is in the folder."""
        return manifest.read(self.folder).version


@pytest.fixture(scope="module", params=list(MODES.values()), ids=list(MODES))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("server")
    write_model(place / "models" / "tiny")
    write_embedder(place / "models" / "tiny_embedder")
    environment = {"PHOTOTRIAGE_API_KEYS": KEY["authorization"].split()[1]} | request.param
    workers = int(request.param.get("PHOTOTRIAGE_WORKERS", "1"))
    with running(place, place / "models", environment) as server:
        wait_until(lambda: server.log.count("Service phototriage initialized") == workers)
        yield Served(server, place / "models" / "tiny", workers)
        assert server.stop() == 0
        assert "Traceback" not in server.log


def replace(folder: Path, padding: int = 0, **changes: Any) -> str:
    """Write another model beside the folder, with so many bytes more, and put it in its place. Gives its version."""
    part, old = (folder.with_name(folder.name + end) for end in (".part", ".old.part"))
    written = write_model(part, scale=next(SCALES), name=folder.name, **changes)
    if padding:
        with (part / "padding").open("wb") as file:
            file.truncate(padding)
        files = written.files | {"padding": manifest.sha256_of(part / "padding")}
        written = manifest.write(written.model_copy(update={"files": files}), part)
    folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old)
    return written.version


def reload(served: Served) -> dict[str, Any]:
    answer = httpx.post(served.server.address + "/v1/models/reload", headers=KEY, timeout=SECONDS)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def await_told(served: Served, before: int, number: int) -> list[str]:
    """What so many workers have written since."""
    wait_until(lambda: len(served.told) >= before + number)
    return served.told[before:]


def version_in(outcome: Outcome) -> str:
    return str(json.loads(outcome.body)["model"]["version"])


def assert_changed_once(crowd: Crowd, old: str, new: str) -> None:
    """On each connection, and so of each worker, since a connection has one."""
    assert set(crowd.statuses) == {200}
    for outcomes in crowd.connections.values():
        versions = [version_in(each) for each in outcomes]
        assert versions == sorted(versions, key=[old, new].index)
        assert versions[-1] == new
    assert version_in(crowd.outcomes[0]) == old


def assert_all_serve(served: Served, version: str) -> None:
    """On new connections, which any worker may take."""
    assert versions_of(served) == {version}


def versions_of(served: Served) -> set[str]:
    found = set()
    for _ in range(20):
        with closing(Client(served.server)) as client:
            found.add(version_in(client(CLASSIFY)))
    return found


def test_by_a_request(served: Served) -> None:
    old, before = served.version, len(served.told)
    with Crowd(served.server, CLIENTS, CLASSIFY) as crowd:
        crowd.await_answers(5)
        new = replace(served.folder)
        crowd.await_answers(5)  # of a folder that nobody has been told to read
        assert reload(served)["taken_up"] == [{"name": "tiny", "version": new, "replaced": old}]
        await_told(served, before, served.workers - 1)
        crowd.await_answers(5)
    assert_changed_once(crowd, old, new)
    assert_all_serve(served, new)


def test_by_a_signal(served: Served) -> None:
    old, before = served.version, len(served.told)
    with Crowd(served.server, CLIENTS, CLASSIFY) as crowd:
        crowd.await_answers(5)
        new = replace(served.folder)
        served.server.process.send_signal(signal.SIGHUP)
        for told in await_told(served, before, served.workers):
            assert new in told
        crowd.await_answers(5)
    assert_changed_once(crowd, old, new)
    assert_all_serve(served, new)


def test_a_folder_that_can_not_be_trusted(served: Served) -> None:
    """The old model stays; the answer says why, and so does the log."""
    old, before = served.version, len(served.told)
    with Crowd(served.server, CLIENTS, CLASSIFY) as crowd:
        crowd.await_answers(5)
        replace(served.folder, golden_scale=11)
        answer = reload(served)
        await_told(served, before, served.workers - 1)
        served.server.process.send_signal(signal.SIGHUP)
        lines = await_told(served, before, 2 * served.workers - 1)
        crowd.await_answers(5)
    assert answer["taken_up"] == []
    assert [each["name"] for each in answer["refused"]] == ["tiny"]
    for told in (answer["refused"][0]["detail"], *lines):
        assert "tiny/golden.npz: logits" in told
    assert set(crowd.statuses) == {200}
    assert {version_in(each) for each in crowd.outcomes} == {old}
    assert_all_serve(served, old)
    # The next one that is good is taken up.
    new = replace(served.folder)
    assert reload(served)["taken_up"] == [{"name": "tiny", "version": new, "replaced": old}]


def test_told_again_before_it_is_done(served: Served) -> None:
    """What is in the folder at the last signal is served in the end."""
    replace(served.folder, padding=PADDING)
    begun, before = time.monotonic(), len(served.told)
    served.server.process.send_signal(signal.SIGHUP)
    await_told(served, before, served.workers)
    took = time.monotonic() - begun
    replace(served.folder, padding=PADDING)
    served.server.process.send_signal(signal.SIGHUP)
    time.sleep(0.75 * took)  # a folder's files are read twice
    new = replace(served.folder)
    served.server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: versions_of(served) == {new})  # of two workers, one is done before the other


def test_without_a_key(served: Served) -> None:
    assert httpx.post(served.server.address + "/v1/models/reload", timeout=SECONDS).status_code == 401
