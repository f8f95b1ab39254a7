"""The interval of ratios, and that what is measured lacks the part that it is said to lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.connection_parts import PARTS, WITHOUT, Turn, geometric_mean, rows_of
from tests.running_server import ROOT

KINDS = """
import asyncio
from benchmarks import connection_variants
from tests.server.test_connection import answer, connect

async def main():
    connection, _ = connect(answer)
    print(type(connection.transport).__name__, type(connection.parser).__name__)

asyncio.run(main())
"""


def test_the_interval_is_students_on_the_logarithms() -> None:
    """Of logarithms −.1, 0 and .1: mean 0, deviation .1, t 4.303 at two degrees of freedom."""
    found = geometric_mean([0.904837, 1.0, 1.105171])
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert [found.low, found.high] == pytest.approx([0.7801, 1.2820], abs=2e-4)
    assert found.n == 3
    with pytest.raises(ValueError, match="two rounds"):
        geometric_mean([1.0])


def test_ratios_are_of_the_whole_over_the_one_without_the_part() -> None:
    turns = {(8, ""): [Turn(200, 0.002)] * 3, (8, "Parser"): [Turn(100, 0.004)] * 3}
    assert rows_of("tiny", turns) == [
        ["Parser", "tiny", "8", "200", "2.000 (2.000–2.000)", "0.500 (0.500–0.500)"],
    ]


@pytest.mark.parametrize(
    ("without", "kinds"),
    list(zip(PARTS, ["Wire Parser", "Wire HttpRequestParser"], strict=True)),
)
def test_a_variant_lacks_its_part_alone(without: str, kinds: str, tmp_path: Path) -> None:
    variables = {WITHOUT: without, "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(
        [sys.executable, "-c", KINDS], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == kinds.split()
