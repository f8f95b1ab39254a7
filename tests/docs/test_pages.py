"""All documents: lines are short, and what they name is there."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 120
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        *(ROOT / f"{name}.md" for name in ("README", "RESULTS", "DESIGN", "CONTRIBUTING")),
        ROOT / "deploy/README.md",
        *ROOT.glob("clients/*/README.md"),
        *ROOT.glob("docs/**/*.md"),
    ]
)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_lines_are_short(page: str) -> None:
    """Rows of tables apart, which Markdown can't break."""
    lines = enumerate(text_of(page).splitlines(), 1)
    assert [number for number, line in lines if len(line) > LONGEST and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    """As a reader of the repository follows them; the site's hooks make pages of them."""
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", text_of(page))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_files_that_are_named_are_there(page: str) -> None:
    text = text_of(page)
    files = re.findall(
        r"(?<![\w/.])(?:phototriage|training|benchmarks|tests|deploy|docs)/[\w/]+\.(?:py|md|sh|jpg|png)", text
    )
    assert [file for file in files if not (ROOT / file).exists()] == []
    modules = re.findall(r"python -m ((?:training|benchmarks|tests|deploy)[\w.]*\w)", text)
    found = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert [
        path for path in found if not (path / "__main__.py").exists() and not path.with_suffix(".py").exists()
    ] == []
    for name in re.findall(r"`((?:phototriage|training)(?:\.\w+)+)(?:\(\w*\))?`", text):
        assert is_there(name), name


@pytest.mark.parametrize("page", PAGES)
def test_options_that_are_named_are_there(page: str) -> None:
    """Of the product's own commands: `python -m training…` and `phototriage …`."""
    text = re.sub(r"\s+", " ", text_of(page))
    commands = re.findall(r"(python -m (?:training|benchmarks|tests)[^`|#]*|(?<!-n )phototriage [a-z]+ [^`|#]*)", text)
    commands += [] if page.startswith("deploy/") else re.findall(r"`(--[^`]*)`", text)
    named = {option for command in commands for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", command)}
    assert named <= options() | {"--help"}


@cache
def options() -> set[str]:
    """All that stand in quotes in the code, as `add_argument` has them."""
    folders = ("phototriage", "training", "benchmarks", "tests")
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {option for text in texts for option in re.findall(r"\"(--[a-z][a-z-]+)\"", text)}


def is_there(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    module, _, last = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), last) or bool(importlib.import_module(name))
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", ["README.md", "DESIGN.md"])
def test_every_room_is_on_the_map_and_no_other(page: str) -> None:
    rooms = {path.parent.name for root in ("phototriage", "training") for path in (ROOT / root).glob("*/__init__.py")}
    rows = [line for line in text_of(page).splitlines() if line.startswith("|")]
    assert set(re.findall(r"`(\w+)/`", "\n".join(rows))) - {"phototriage", "training"} == rooms
