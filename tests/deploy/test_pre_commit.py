"""What is run before a commit is what `make check` runs on files."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.running_server import ROOT

HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
]


def test_the_hooks_are_make_checks_commands_but_for_the_tests() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", "check"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^(\.venv-dev/bin/(?:ruff|mypy|lint-imports|pytest)\b.*)$", shown, re.MULTILINE)
    *files, tests = commands
    assert tests.startswith(".venv-dev/bin/pytest ")
    assert [hook["entry"] for hook in HOOKS] == files
    assert len(files) == 4


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_sees_the_whole_tree_with_the_tools_that_are_here(hook: dict[str, object]) -> None:
    """Types and contracts are of all files together, not of those that have changed."""
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    assert (ROOT / str(hook["entry"]).split()[0]).exists()
