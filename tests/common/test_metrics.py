from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from phototriage.common.metrics import exposition, timed

ROOT = Path(__file__).parents[2]


def count(stage: str) -> float:
    return REGISTRY.get_sample_value("phototriage_stage_seconds_count", {"stage": stage}) or 0.0


def test_a_stage_is_counted_also_when_it_fails() -> None:
    before = count("decode")
    with timed("decode"):
        pass
    with pytest.raises(ZeroDivisionError), timed("decode"):
        _ = 1 // 0
    assert count("decode") == before + 2


def test_the_exposition_is_text() -> None:
    assert b"# TYPE phototriage_requests_total counter" in exposition()


def test_workers_are_counted_together(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    program = (
        "from phototriage.common.metrics import REQUESTS, exposition\n"
        "REQUESTS.labels('/v1/classify', 200).inc()\n"
        "print(exposition().decode())"
    )
    for total in ("1.0", "2.0"):
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
        )
        assert f'phototriage_requests_total{{code="200",route="/v1/classify"}} {total}' in run.stdout
