"""The wheels, installed into an environment of their own and asked from an empty folder."""

from __future__ import annotations

import email
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from email.message import Message
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import grimp
import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyarrow import parquet

from deploy.build_wheels import MODELS, build, licence_table, manifests
from tests.running_server import ROOT, SECONDS

CAT = ROOT / "docs" / "cat.jpg"
# Modules that the server imports and no requirement names, and why.
NOT_REQUIRED = {
    "pi_heif": "the extra heic, without which HEIC files are refused by name",
    "psycopg": "the extra postgres, without which an address of a database is refused with what to install",
    "psycopg_pool": "the same",
    "pydantic_core": "pydantic requires its one version",
    "tornado": "kantoku requires it, and its loop is of it",
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def scripts(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheels, and with what else this environment has but for the project's own
    editable installation, which a path in a .pth file doesn't bring along."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, *map(str, wheels)], env=environment(), check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return python.parent


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with nothing of the project but photos, and with a file that BentoML must not take for a module."""
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "numpy.py").write_text("raise ImportError('this is no module')\n")
    (folder / "photo.jpg").write_bytes(CAT.read_bytes())
    return folder


def environment(**variables: str) -> dict[str, str]:
    """This one without what says where the project is."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PHOTOTRIAGE_", "PYTHON"))}
    return {**others, "PHOTOTRIAGE_THREADS": "1", "PHOTOTRIAGE_PROVIDER": "cpu", **variables}


def run(scripts: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [scripts / "phototriage", *command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_code_that_runs_is_the_wheels(scripts: Path, empty: Path) -> None:
    code = "from importlib.util import find_spec; print(find_spec('phototriage').origin, find_spec('training').origin)"
    done = subprocess.run(
        [scripts / "python", "-P", "-c", code], cwd=empty, env=environment(), capture_output=True, text=True, check=True
    )
    assert all(Path(file).is_relative_to(scripts.parent) for file in done.stdout.split())


def test_classifies_with_the_shipped_models(scripts: Path, empty: Path) -> None:
    done = run(scripts, empty, "classify", "photo.jpg")
    assert (done.returncode, json.loads(done.stdout)["label"]) == (0, "cat"), done.stderr
    assert "PHOTOTRIAGE_MODELS_DIRECTORY=" + str(scripts.parent) in run(scripts, empty, "config").stdout


def test_scores_a_folder(scripts: Path, empty: Path) -> None:
    done = run(scripts, empty, "score", ".", "-o", "scores.parquet", "--include", "classify", "--workers", "1")
    assert done.returncode == 0, done.stderr
    (row,) = parquet.read_table(empty / "scores.parquet").to_pylist()
    assert (row["name"], row["classify"]["label"]) == ("photo.jpg", "cat")


def test_trains(scripts: Path, empty: Path) -> None:
    command = [str(scripts / "python"), "-P", "-m", "training.classifier", "--help"]
    done = subprocess.run(command, cwd=empty, env=environment(), capture_output=True, text=True, check=True)
    assert "--data" in done.stdout


def test_serves_until_it_is_interrupted(scripts: Path, empty: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [scripts / "phototriage", "serve", "--host", "localhost", "--port", str(port)],
        cwd=empty,
        env=environment(TMPDIR=str(tmp_path / "temporary"), HOME=str(empty)),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        answer = ask(f"http://127.0.0.1:{port}", process)
        assert answer["label"] == "cat"
        taken = run(scripts, empty, "serve", "--host", "127.0.0.1", "--port", str(port))
        assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
        assert f"Port {port} of 127.0.0.1 is taken" in taken.stderr
    finally:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "Traceback" not in told
    (notice,) = (line for line in told.split("\n") if "shipped models" in line)
    assert all(each["data"]["licence"] in notice for each in manifests(MODELS))
    # Nothing is left behind, neither here nor in the home directory.
    assert sorted(path.name for path in empty.iterdir()) == ["numpy.py", "photo.jpg"]
    assert not list((tmp_path / "temporary").glob("phototriage-*"))


def ask(address: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    """The answer about the cat, as soon as the server is ready."""
    end = time.monotonic() + SECONDS
    with httpx.Client(base_url=address, timeout=SECONDS) as client:
        while process.poll() is None and time.monotonic() < end:
            try:
                if client.get("/readyz").status_code == 200:
                    answer: dict[str, Any] = client.post("/v1/classify", files={"image": CAT.read_bytes()}).json()
                    return answer
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError("not ready")


def test_what_the_server_imports_is_required(wheels: list[Path]) -> None:
    graph = grimp.build_graph("phototriage", include_external_packages=True)
    reached = graph.find_upstream_modules("phototriage.server.bento_service")
    modules = {module for module in reached if graph.is_module_squashed(module)} - sys.stdlib_module_names
    distributions = packages_distributions()
    needs = [Requirement(text) for text in metadata(wheels[0]).get_all("Requires-Dist", [])]
    always = {canonicalize_name(need.name) for need in needs if "extra" not in str(need.marker)}
    assert {"bentoml", "circus", "uvicorn", "numpy"} <= modules
    missing = {module for module in modules if not always & set(map(canonicalize_name, distributions.get(module, [])))}
    assert missing == set(NOT_REQUIRED)


def test_what_inner_parts_are_used_of_has_an_upper_bound(wheels: list[Path]) -> None:
    needs = {need.name: need for need in map(Requirement, metadata(wheels[0]).get_all("Requires-Dist", []))}
    for name in ("bentoml", "httptools", "kantoku", "prometheus-client", "starlette", "uvicorn"):
        assert any(each.operator == "<" for each in needs[name].specifier), name


def test_neither_tests_nor_benchmarks_are_installed(wheels: list[Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"phototriage", "training"}
    assert "phototriage/py.typed" in names
    written = {
        str(path.relative_to(ROOT)) for top in ("phototriage", "training") for path in (ROOT / top).rglob("*.py")
    }
    assert written == {name for name in names if name.endswith(".py")}


def test_the_models_wheel_says_what_they_were_trained_on(wheels: list[Path]) -> None:
    with zipfile.ZipFile(wheels[1]) as archive:
        (licences,) = (each for each in archive.namelist() if each.endswith("LICENSES.md"))
        texts = [archive.read(licences).decode(), str(metadata(wheels[1]).get_payload())]
        files = {name for name in archive.namelist() if "/models/" in name}
    described = manifests(MODELS)
    assert len(described) == 2
    for text in texts:
        assert licence_table(MODELS) in text
        for each in described:
            assert re.search(rf"^\| {each['name']} \|.*{re.escape(each['data']['licence'])} \|$", text, re.MULTILINE)
    assert {path.parent.name for path in map(Path, files)} == {each["name"] for each in described}
    assert metadata(wheels[1])["License-Expression"].startswith("LicenseRef-")
