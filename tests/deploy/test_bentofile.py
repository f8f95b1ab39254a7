"""The build description names what pyproject.toml does, and takes nothing of training along."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BENTOFILE = yaml.safe_load((ROOT / "bentofile.yaml").read_text(encoding="utf-8"))


def test_the_packages_are_the_serving_dependencies() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert BENTOFILE["python"]["packages"] == tomllib.load(file)["project"]["dependencies"]


def test_what_is_taken_along_is_there_and_is_not_training() -> None:
    for pattern in BENTOFILE["include"]:
        assert pattern.startswith("/"), "else it matches in environments too"
        taken = list(ROOT.glob(pattern.lstrip("/")))
        assert taken, pattern
        assert not [path for path in taken if {"training", "tests", "benchmarks"} & set(path.parts)]
