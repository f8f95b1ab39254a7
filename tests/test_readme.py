"""README's commands are run, and its answers are the ones that come."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.shapes import shapes_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEV = ROOT / ".venv-dev"
START_SECONDS = 60


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def calls() -> list[tuple[str, str]]:
    """Commands of the console blocks, each with the answer printed below it."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            found.append((command, answer.strip()))
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """`make serve` on a free port, with the environment of the checks in place of .venv."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["make", "serve", f"PORT={port}", "HOST=127.0.0.1", f"SERVING={DEV}", f"BENTOML={DEV}/readme"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_until_ready(port, process)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(START_SECONDS * 10):
        assert process.poll() is None, "make serve ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready after {START_SECONDS} s")


def same(found: Any, expected: Any) -> bool:
    """Equal, with numbers to 2 % (processors round differently) and strings that end in … by their beginning."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, rel=0.02, abs=0.005))
    if isinstance(expected, str) and expected.endswith("…"):
        return isinstance(found, str) and found.startswith(expected[:-1])
    return bool(found == expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("somewhere")


@pytest.mark.parametrize(("command", "answer"), calls(), ids=lambda text: text[:60])
def test_calls_give_the_printed_answers(server: int, folder: Path, command: str, answer: str) -> None:
    """In README's order, since one call takes what another has kept."""
    local = command.replace("localhost:3000", f"127.0.0.1:{server}").replace("docs/", f"{ROOT}/docs/")
    environment = os.environ | {
        "PATH": f"{DEV / 'bin'}:{os.environ['PATH']}",
        "PHOTOTRIAGE_MODELS_DIRECTORY": str(ROOT / "exported_models"),
    }
    done = subprocess.run(  # noqa: S602
        local, shell=True, cwd=folder, capture_output=True, text=True, check=True, env=environment
    )
    if answer:
        assert same(json.loads(done.stdout), json.loads(answer)), done.stdout
    elif " -o " not in command:
        assert done.stdout.startswith(("# HELP", '{"openapi"')), done.stdout[:200]
    else:
        made = folder / command.split(" -o ")[1]
        if made.suffix == ".png":
            assert made.read_bytes().startswith(b"\x89PNG")
        elif made.suffix == ".parquet":
            rows = {row["name"]: row for row in parquet.read_table(made).to_pylist()}
            assert rows["cat.jpg"]["classify"]["label"] == "cat"
            near = rows["cat_reposted.jpg"]["near_duplicates"]
            assert (near["nearest"], near["group"]) == ("cat.jpg", "cat.jpg")
            assert f"{near['similarity']:.3f}".lstrip("0") in README
        else:
            assert json.loads(made.read_bytes())["embedding"]["dimension"] == 256 + 64


def test_there_are_calls_of_every_kind() -> None:
    commands = " ".join(command for command, _ in calls())
    assert "/v1/classify" in commands
    assert "/v1/saliency" in commands
    assert "/v1/duplicates" in commands
    assert "/v1/embed" in commands
    assert "/v1/difficulty" in commands
    assert "/v1/triage?" in commands
    assert "/v1/triage/batch" in commands
    assert "--data-binary" in commands


def test_the_same_in_python() -> None:
    (block,) = blocks("python")
    done = subprocess.run([DEV / "bin/python", "-c", block], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == block.rsplit("# ", 1)[1].strip()


def test_the_training_commands_make_a_model_that_serves(tmp_path: Path) -> None:
    shapes_folder(tmp_path / "my_photos", 30)
    (block,) = blocks("bash")
    commands = [line.partition("#")[0].strip() for line in block.splitlines()]
    assert commands[:2] == ["make train", ". .venv-dev/bin/activate"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{DEV / 'bin'}:{os.environ['PATH']}"}
    for command in commands[2:]:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, env=environment)  # noqa: S602
    done = subprocess.run(
        ["phototriage", "classify", str(tmp_path / "my_photos/disk/000.png")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert json.loads(done.stdout)["model"]["name"] == "my_model"
    ranked = ["phototriage", "rank", "my_photos", "-o", "hard.csv", "--gallery", "hard.html"]
    subprocess.run(ranked, cwd=tmp_path, check=True, env=environment)
    assert len((tmp_path / "hard.csv").read_text(encoding="utf-8").splitlines()) == 61
    assert "my_photos by score" in (tmp_path / "hard.html").read_text(encoding="utf-8")


def test_every_file_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
