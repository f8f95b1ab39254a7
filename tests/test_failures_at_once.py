from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
@pytest.fixture
def broken():
    raise ValueError("no fixture")
def test_fails():
    assert 1 == 2, "one is not two"
def test_passes(): pass
def test_errs(broken): pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_failure_is_named_when_it_happens(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.failures_at_once", "-p", "xdist", "-n", processes]
    # Without plugins of other packages, which take longer to import than this takes.
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(
        [*command, "--rootdir", ".", "test_it.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    told, end, _ = ended.stdout.partition("= ERRORS =")
    assert end, ended.stdout
    assert "FAILED test_it.py::test_fails: AssertionError: one is not two\n" in told
    assert "FAILED at setup test_it.py::test_errs: ValueError: no fixture\n" in told
    assert "test_passes" not in ended.stdout
