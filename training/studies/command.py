"""What the commands of all studies have in common: their options, results that are kept, and how they end."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from phototriage.common.atomic_writes import atomic_file
from training.loop.command import exit_status
from training.loop.compute import CPU, hardware
from training.loop.run_folder import RUNS, package_versions


def study_parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Of `python -m MODULE`, described by the first line of its docstring."""
    assert doc is not None
    return argparse.ArgumentParser(prog=f"python -m {module}", description=doc.split("\n")[0])


def add_folder_options(parser: argparse.ArgumentParser, *, restart: bool = True) -> None:
    """Of studies that keep something in runs/NAME/."""
    parser.add_argument("--name", required=True, help="of the folder below runs/")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=RUNS)
    if restart:
        parser.add_argument("--restart", action="store_true")


def kept_json(path: Path, make: Callable[[], Any]) -> Any:
    """From the file, if an earlier run left it."""
    if not path.exists():
        result = make()
        with atomic_file(path) as part:
            part.write_text(json.dumps(result), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def run_study(text: Callable[[], str]) -> int:
    """Prints it; the answer is that of `exit_status`."""
    return exit_status(lambda: print(text()))


def surroundings(device: torch.device = CPU) -> str:
    """What computed: hardware and versions."""
    return f"{hardware(device)}; {', '.join(f'{name} {version}' for name, version in package_versions().items())}"
