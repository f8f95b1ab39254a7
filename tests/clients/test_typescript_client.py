"""The TypeScript client: made from the document, well typed, and what a real server answers is what it tells.

Node.js and the client's packages are those that the Makefile installs beside Python's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from phototriage.server import error_responses
from tests.http_clients import running

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
DOCUMENT: dict[str, Any] = json.loads((ROOT / "clients" / "openapi.json").read_text(encoding="utf-8"))
NODE = Path(sys.executable).with_name("node")
COMPILER = "node_modules/typescript/bin/tsc"
KEY = "a key of the tests"
SECONDS = 60


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the client that may be written to, with its packages."""
    packages = CLIENT / "node_modules"
    assert packages.is_dir(), f"{packages} is missing: run make check, or npm ci in {CLIENT}"
    folder = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(CLIENT, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "build"))
    (folder / "node_modules").symlink_to(packages)
    return folder


@pytest.fixture(scope="module")
def compiled(client: Path) -> Path:
    """The client with its tests, and with README's examples among them, compiled into `build`."""
    for index, block in enumerate(re.findall(r"^```ts\n(.*?)^```", (client / "README.md").read_text(), re.M | re.S)):
        example = block.replace('"phototriage-client"', '"../src/index.js"')
        (client / "test" / f"readme_{index}.ts").write_text(example, encoding="utf-8")
    node(client, COMPILER, "-p", "tsconfig.test.json")
    return client


def node(folder: Path, *arguments: str, **environment: str) -> str:
    """What Node.js prints; it has to succeed."""
    done = subprocess.run(
        [NODE, *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(output: str) -> int:
    """How many tests a run of Node's counted as passed."""
    found = re.search(r"^\S+ pass (\d+)$", output, re.MULTILINE)
    assert found is not None, output
    return int(found[1])


def code_of(response: Response) -> str:
    code: str = json.loads(bytes(response.body))["code"]
    return code


def test_declarations_are_those_of_the_document(client: Path) -> None:
    source = str(ROOT / "clients" / "openapi.json")
    node(client, "scripts/schema.mjs", source, "made.d.ts")
    assert (client / "made.d.ts").read_text() == (CLIENT / "src" / "schema.d.ts").read_text(), "run: npm run schema"


def test_builds_for_browsers_and_node_alike(client: Path) -> None:
    """Without Node's own types no name of Node's is known to the compiler."""
    node(client, COMPILER)
    node(client, "scripts/copy.mjs", "src/schema.d.ts", "dist/schema.d.ts")
    names = node(client, "-e", "import('phototriage-client').then((all) => console.log(Object.keys(all).join()))")
    assert (
        names.strip()
        == "CODES,Client,Collection,ConnectionError,PhototriageError,ProblemError,TimeoutError,createClient"
    )
    assert (client / "dist" / "index.d.ts").is_file()


def test_retries_errors_and_uploads(compiled: Path) -> None:
    assert passed(node(compiled, "--test", "build/test/client.test.js")) >= 20


def test_collections(compiled: Path) -> None:
    assert passed(node(compiled, "--test", "build/test/collections.test.js")) >= 15


def test_asks_a_real_server(compiled: Path, models_directory: Path, tmp_path: Path) -> None:
    environment = {"PHOTOTRIAGE_API_KEYS": KEY, "PHOTOTRIAGE_COLLECTIONS": str(tmp_path / "collections")}
    with running(tmp_path, models_directory, environment) as server:
        arguments = ("--test", "build/test/service.test.js")
        output = node(compiled, *arguments, PHOTOTRIAGE_URL=server.address, PHOTOTRIAGE_KEY=KEY)
    assert passed(output) >= 9


def test_knows_every_code() -> None:
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    told = [answer["description"] for each in operations for answer in each["responses"].values()]
    codes = set(re.findall(r"\(`(\w+)`\)", "\n".join(told)))
    codes |= {
        code_of(each)
        for each in (error_responses.not_found(), error_responses.method_not_allowed([]), error_responses.of_bug())
    }
    listed = re.search(r"CODES = \[(.*?)\]", (CLIENT / "src" / "errors.ts").read_text(), re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == codes


def test_asks_every_route() -> None:
    source = "".join((CLIENT / "src" / name).read_text() for name in ("client.ts", "collections.ts"))
    older_names = {"/healthz"}
    asked = {(path, method.lower()) for method, path in re.findall(r'\.(GET|PUT|POST|DELETE)\("([^"]+)"', source)}
    routes = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert asked == {each for each in routes if each[0] not in older_names}


def test_lock_names_no_registry() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
    assert lock["version"] == json.loads((CLIENT / "package.json").read_text())["version"]
