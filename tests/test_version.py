from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import phototriage


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert phototriage.__version__ == project["project"]["version"]


def test_the_changelog_begins_with_the_version() -> None:
    text = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (.*)$", text, re.MULTILINE)
    assert newest
    assert re.fullmatch(rf"Unreleased|{re.escape(phototriage.__version__)} — \d{{4}}-\d\d-\d\d", newest[1])


def test_onnx_runtime_is_told_to_keep_to_itself() -> None:
    code = "import phototriage.models.loading, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
