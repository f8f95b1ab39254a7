"""The commands of README, of the tutorials and of the how-tos are run, and their answers are the ones that come."""

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
from typing import Any, NamedTuple

import pytest
from pyarrow import parquet

from tests.shapes import shapes_folder

ROOT = Path(__file__).parents[1]
README = "README.md"
OWN_PHOTOS, KUBERNETES = "docs/tutorials/your_own_photos.md", "docs/tutorials/kubernetes.md"
SCORED = "docs/tutorials/score_a_folder.md"
PAGES = [
    README,
    "docs/tutorials/first_call.md",
    "docs/how_to/every_route.md",
    "docs/how_to/collections.md",
    SCORED,
]
DEV = ROOT / ".venv-dev"
START_SECONDS = 60
ANY = "…"


class Step(NamedTuple):
    """A command of a console block and the answer printed below it, or a Python block and what its prints say."""

    page: str
    code: str
    answer: str
    is_python: bool = False


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def steps(page: str) -> Iterator[Step]:
    for language, block in re.findall(r"^```(console|python)\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        if language == "python":
            prints = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
            assert prints, block
            yield Step(page, block, "\n".join(prints), is_python=True)
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = re.sub(r"\n> ", "\0", part).partition("\n")
            yield Step(page, command.replace("\0", "\n"), answer.strip())


STEPS = [step for page in PAGES for step in steps(page)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`make serve` on a free port, with the environment of the checks in place of .venv."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["make", "serve", f"PORT={port}", "HOST=127.0.0.1", f"SERVING={DEV}", f"BENTOML={DEV}/readme"]
    environment = os.environ | {"PHOTOTRIAGE_COLLECTIONS": str(tmp_path_factory.mktemp("collections"))}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, env=environment)
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
    """Equal, with numbers to 2 % (processors round differently) and strings that end in … by their beginning; a bare …
    stands for anything."""
    if expected == ANY:
        return True
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
    if isinstance(expected, str) and expected.endswith(ANY):
        return isinstance(found, str) and found.startswith(expected[:-1])
    return bool(found == expected)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One for each page, where its steps find what those before have kept."""
    return {page: tmp_path_factory.mktemp("somewhere") for page in PAGES}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.page}: {step.code[:60]}")
def test_steps_give_the_printed_answers(server: int, folders: dict[str, Path], step: Step) -> None:
    """In a page's order, since one step takes what another has kept."""
    folder = folders[step.page]
    code = step.code.replace("localhost:3000", f"127.0.0.1:{server}").replace("docs/", f"{ROOT}/docs/")
    environment = os.environ | {
        "PATH": f"{DEV / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PHOTOTRIAGE_MODELS_DIRECTORY": str(ROOT / "exported_models"),
    }
    command = [str(DEV / "bin/python"), "-c", code] if step.is_python else ["sh", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if step.is_python:
        assert done.stdout.strip() == step.answer
    elif step.answer:
        assert same(json.loads(done.stdout), json.loads(step.answer)), done.stdout
    elif " -o " not in step.code:
        assert done.stdout.startswith(("# HELP", '{"openapi"')), done.stdout[:200]
    else:
        made = folder / step.code.split(" -o ")[1]
        if made.suffix == ".png":
            assert made.read_bytes().startswith(b"\x89PNG")
        elif made.suffix == ".parquet":
            rows = {row["name"]: row for row in parquet.read_table(made).to_pylist()}
            assert rows["cat.jpg"]["classify"]["label"] == "cat"
            near = rows["cat_reposted.jpg"]["near_duplicates"]
            assert near["nearest"].endswith("cat.jpg")
            assert near["group"] == near["nearest"]
            assert f"{near['similarity']:.3f}".lstrip("0") in text_of(step.page)
        else:
            assert json.loads(made.read_bytes())["embedding"]["dimension"] == 256 + 64


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        (
            README,
            ["/v1/classify", "/v1/difficulty", "/v1/saliency", "/v1/duplicates", "/v1/triage?include=classify,embed"],
        ),
        (
            "docs/how_to/every_route.md",
            [
                *("/v1/classify", "/v1/difficulty", "/v1/saliency", "/v1/duplicates", "/v1/embed", "/v1/triage?"),
                *("/v1/triage/batch", "/v1/models", "/v1/models/reload", "/livez", "/readyz", "/healthz", "/metrics"),
                *("/docs.json", "--data-binary", "embedding_a=", "threshold=", "label=", "method=featout", "target="),
            ],
        ),
        (SCORED, ["phototriage score", "--near-duplicates", "--index", "phototriage index"]),
    ],
)
def test_there_are_calls_of_every_kind(page: str, kinds: list[str]) -> None:
    commands = " ".join(step.code for step in STEPS if step.page == page and not step.is_python)
    assert [kind for kind in kinds if kind not in commands] == []


def test_the_same_in_python() -> None:
    assert sum(step.is_python for step in STEPS if step.page == README) == 1


def test_the_training_commands_make_a_model_that_serves(tmp_path: Path) -> None:
    shapes_folder(tmp_path / "my_photos", 30)
    (block,) = blocks(OWN_PHOTOS, "bash")
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
    assert " ".join(ranked) in text_of(OWN_PHOTOS)
    subprocess.run(ranked, cwd=tmp_path, check=True, env=environment)
    assert len((tmp_path / "hard.csv").read_text(encoding="utf-8").splitlines()) == 61
    assert "my_photos by score" in (tmp_path / "hard.html").read_text(encoding="utf-8")


def test_readme_trains_as_the_tutorial_does() -> None:
    (short,), (whole,) = blocks(README, "bash"), blocks(OWN_PHOTOS, "bash")
    assert [line for line in short.splitlines() if line not in whole.splitlines()] == []


def test_the_tutorial_of_kubernetes_has_the_commands_of_the_manifests_document() -> None:
    """Which tests/deploy/test_kubernetes.py compares with the manifests."""
    document = text_of("deploy/README.md")
    commands = "".join(blocks(KUBERNETES, "bash")).splitlines()
    assert len(commands) >= 7
    assert [command for command in commands if command not in document] == []


def test_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= 140


def test_every_file_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text_of(README))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
