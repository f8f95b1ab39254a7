"""The bento that an image is made of: built, looked into, and served from."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.build_bento import BuildError, bentofile, packages
from tests.running_server import ROOT, SECONDS
from tests.tiny_models import solid

RED = solid((255, 0, 0))
# A module of this name is imported by every Python process at its start.
TELL_MODULES = """
import os, sys, threading, time
from pathlib import Path


def tell():
    folder = Path(os.environ["TOLD"])
    while not (folder / "tell").exists():
        time.sleep(0.05)
    part = folder / f"{os.getpid()}.part"
    found = [f"{name}={getattr(module, '__file__', '')}" for name, module in list(sys.modules.items())]
    part.write_text("\\n".join(found))
    part.rename(part.with_suffix(".modules"))


threading.Thread(target=tell, daemon=True).start()
"""
# Packages that are declared and that no served process imports, and why they are there all the same.
NOT_IMPORTED: Mapping[str, str] = {"usearch": "a collection of 100,000 photos begins a graph"}
PROJECT = {
    "dependencies": [
        "numpy>=2",
        "onnxruntime-gpu>=1.20; sys_platform == 'linux'",
        "onnxruntime>=1.20; sys_platform != 'linux'",
        "uvloop>=0.21; sys_platform != 'win32'",
    ],
    "optional-dependencies": {
        "gpu": ["onnxruntime-gpu==1.31.1", "nvidia-cudnn-cu13==9.24.0.43"],
        "heic": ["pi-heif>=1"],
        "postgres": ["psycopg>=3.3"],
        "score": ["pyarrow"],
    },
}


def declared() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    command = [sys.executable, "-m", "deploy.build_bento", "--variant", "cpu", "--store", str(store)]
    # No index can be reached: what BentoML would download has to be there.
    offline = {**os.environ, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    run = subprocess.run(command, cwd=ROOT, env=offline, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    sizes = re.fullmatch(r"(.+): ([0-9.]+) MB, ([0-9.]+) MB without the models\n", run.stdout)
    assert sizes, run.stdout
    assert 0 < float(sizes[3]) < float(sizes[2])
    return Path(sizes[1])


@pytest.fixture(scope="module")
def modules(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the processes have imported that serve from the bento, after a request to each route that takes a photo:
    file by module."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "sitecustomize.py").write_text(TELL_MODULES)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "TOLD": str(folder),
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "ORT_DISABLE_TELEMETRY": "1",
        "PHOTOTRIAGE_WORKERS": "1",
        "PHOTOTRIAGE_THREADS": "1",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            wait_until_ready(client, process, folder / "log")
            for route in ("classify", "difficulty", "embed", "saliency"):
                answer = client.post(f"/v1/{route}", content=RED, headers={"content-type": "image/png"})
                assert answer.status_code == 200, answer.text
            photo = (ROOT / "docs" / "cat.jpg").read_bytes()
            photos = {"image_a": photo, "image_b": photo}
            assert client.post("/v1/duplicates", files=photos).json()["is_duplicate"] is True
            assert client.get("/metrics").status_code == 200
        (folder / "tell").touch()
        yield told(folder)
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"not ready: {log.read_text(errors='replace')}")


def told(folder: Path) -> dict[str, str]:
    """Files of the modules of the supervisor and of its worker."""
    end = time.monotonic() + SECONDS
    while len(found := list(folder.glob("*.modules"))) < 2:
        assert time.monotonic() < end, "the processes don't tell"
        time.sleep(0.05)
    lines = [line for each in found for line in each.read_text().split("\n")]
    return {name: file for name, _, file in (line.partition("=") for line in lines)}


def test_holds_the_service_the_core_and_the_models_alone(bento: Path) -> None:
    source = bento / "src"
    assert sorted(path.name for path in source.iterdir()) == sorted(
        ["LICENSE", "README.md", "bentofile.yaml", "exported_models", "phototriage", "service.py"]
    )
    core = [path for path in (source / "phototriage").rglob("*") if path.is_file()]
    written = {path.relative_to(ROOT) for path in (ROOT / "phototriage").rglob("*.py")}
    assert written <= {path.relative_to(source) for path in core}
    assert {path.suffix for path in core if path.name != "py.typed"} == {".py"}
    models = {path.name for path in (source / "exported_models").iterdir()}
    assert models == {path.parent.name for path in (ROOT / "exported_models").glob("*/manifest.json")}
    kinds = {path.suffix for path in (source / "exported_models").glob("*/*")}
    assert kinds <= {".onnx", ".json", ".npz", ".md", ".png", ".jpg"}


def test_asks_for_the_variants_packages_and_no_torch(bento: Path) -> None:
    lines = (bento / "env" / "python" / "requirements.txt").read_text().split("\n")
    asked = [Requirement(line) for line in lines if line]
    assert {each.name for each in asked} == {Requirement(each).name for each in packages("cpu", declared())}
    assert not [each.name for each in asked if re.search("torch|onnxruntime-gpu|pytest|matplotlib|nvidia", each.name)]


def test_the_image_begins_without_a_compiler_and_runs_as_a_user(bento: Path) -> None:
    steps = (bento / "env" / "docker" / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.11-slim ", steps, re.M)
    assert "apt-get" not in steps
    assert re.search(r"^ARG BENTO_USER_UID=1034$", steps, re.M)
    assert re.search(r"^USER bentoml$", steps, re.M)
    assert re.search(r"^EXPOSE 3000$", steps, re.M)
    assert re.search(r'^ENTRYPOINT \[ "/home/bentoml/bento/env/docker/entrypoint\.sh" \]$', steps, re.M)


def test_the_image_calls_nobody(bento: Path) -> None:
    """Both libraries tell their makers of every start unless these are set."""
    steps = (bento / "env" / "docker" / "Dockerfile").read_text()
    for name, value in {"BENTOML_DO_NOT_TRACK": "True", "ORT_DISABLE_TELEMETRY": "1"}.items():
        assert re.search(rf"^ARG {name}={value}\n\s*ENV {name}=\${name}$", steps, re.M), name


def test_says_which_variant_and_version_it_is(bento: Path) -> None:
    described = yaml.safe_load((bento / "bento.yaml").read_text(encoding="utf-8"))
    assert described["labels"] == {"variant": "cpu", "version": declared()["version"]}
    assert (described["name"], described["version"]) == ("phototriage", "cpu")


def test_every_package_is_imported_by_what_serves(modules: dict[str, str]) -> None:
    imported = {
        canonicalize_name(name)
        for module, names in packages_distributions().items()
        if module in modules
        for name in names
    }
    needs = [Requirement(each) for each in declared()["dependencies"]]
    here = {canonicalize_name(need.name) for need in needs if not need.marker or need.marker.evaluate()}
    assert here - imported == set(NOT_IMPORTED)


def test_nothing_of_training_is_imported_by_what_serves(modules: dict[str, str]) -> None:
    tops = {module.split(".")[0] for module in modules}
    assert not tops & {"torch", "torchvision", "training", "matplotlib", "pandas", "sklearn", "scipy", "pyarrow"}
    assert {"phototriage", "service", "onnxruntime"} <= tops


def test_what_serves_is_the_bentos_own(bento: Path, modules: dict[str, str]) -> None:
    ours = {name: Path(file) for name, file in modules.items() if name.split(".")[0] in {"phototriage", "service"}}
    assert len(ours) > 20
    assert not [name for name, file in ours.items() if not file.is_relative_to(bento / "src")]


def test_the_smaller_runtime_takes_the_place_of_both() -> None:
    assert packages("cpu", PROJECT) == [
        "numpy>=2",
        "onnxruntime>=1.20",
        "pi-heif>=1",
        "psycopg>=3.3",
        "uvloop>=0.21; sys_platform != 'win32'",
    ]


def test_a_gpu_gets_the_runtime_with_cuda_alone() -> None:
    assert packages("gpu", PROJECT) == [
        "numpy>=2",
        "nvidia-cudnn-cu13==9.24.0.43",
        "onnxruntime-gpu==1.31.1",
        "pi-heif>=1",
        "psycopg>=3.3",
        "uvloop>=0.21; sys_platform != 'win32'",
    ]


def test_batch_is_the_cpus_and_what_scoring_imports() -> None:
    assert set(packages("batch", PROJECT)) == {*packages("cpu", PROJECT), "pyarrow"}


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(BuildError, match="no extra 'gpu'"):
        packages("gpu", {**PROJECT, "optional-dependencies": {"heic": [], "postgres": []}})


def test_cuda_is_pinned_whole() -> None:
    pinned = {need.name: need for need in map(Requirement, declared()["optional-dependencies"]["gpu"])}
    assert all(re.fullmatch(r"==[0-9.]+", str(need.specifier)) for need in pinned.values())
    # What ONNX Runtime's provider library is linked with or opens, and what those need in turn.
    assert set(pinned) == {
        "onnxruntime-gpu",
        "nvidia-cublas",
        "nvidia-cuda-nvrtc",
        "nvidia-cuda-runtime",
        "nvidia-cudnn-cu13",
        "nvidia-cufft",
        "nvidia-curand",
        "nvidia-nvjitlink",
    }


def test_the_gpus_server_refuses_to_run_on_a_cpu() -> None:
    variables = {each["name"]: each["value"] for each in bentofile("gpu")["envs"]}
    assert variables["PHOTOTRIAGE_PROVIDER"] == "cuda"
    assert "PHOTOTRIAGE_PROVIDER" not in json.dumps(bentofile("cpu"))


def test_without_uv_nothing_is_downloaded(tmp_path: Path) -> None:
    """BentoML would install it from the index by itself."""
    program = "import sys; sys.modules['uv'] = None; from deploy.build_bento import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", program, "--store", str(tmp_path / "store")],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, "uv is missing" in run.stderr) == (1, True), run.stderr
    assert not (tmp_path / "store").exists()
