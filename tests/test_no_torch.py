from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "matplotlib", "pandas", "sklearn", "scipy", "skimage")


def imported(modules: str, names: tuple[str, ...]) -> list[str]:
    """Which of the names are there after the import, in a process of its own."""
    program = f"import sys, {modules}; print(*sorted(set({names}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


@pytest.mark.parametrize("modules", ["service, phototriage.server.http_api", "phototriage.cli.command"])
def test_serving_imports_nothing_heavy(modules: str) -> None:
    assert imported(modules, HEAVY) == []


def test_the_supervisor_does_without_the_models_runtime() -> None:
    assert imported("service", ("onnxruntime", "onnx")) == []
