"""Scoring on a Ray cluster of two nodes on this host, one of which is killed meanwhile. `make check-ray` runs this."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="it has an environment of its own: make check-ray")

from ray.cluster_utils import Cluster

from phototriage.scoring.image_references import BytesInMemory, Item
from phototriage.scoring.parts import Parts, folder_of
from phototriage.scoring.ray_engine import TRIES, RayEngine, _ClusterFailed
from phototriage.scoring.scorer import ScoringFailed, Shard
from tests.scored_models import CLASSIFIER, write_scored
from tests.tiny_models import solid, write_embedder

SECONDS = 120
SHARDS = 40


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    write_scored(folder)
    write_embedder(folder / "tiny_embedder")
    return {
        **os.environ,
        "PHOTOTRIAGE_MODELS_DIRECTORY": str(folder),
        "PHOTOTRIAGE_DEFAULT_CLASSIFIER": CLASSIFIER,
        "PHOTOTRIAGE_PROVIDER": "cpu",
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 3,000 lines, of which each fiftieth names a file that can't be decoded."""
    folder = tmp_path_factory.mktemp("photos")
    for shade in range(250):
        (folder / f"{shade}.png").write_bytes(solid((shade, 255 - shade, 7), 300, 300))
    (folder / "broken.png").write_bytes(solid((1, 2, 3), 40, 40)[:50])
    lines = [f"{number % 250}.png" if number % 50 else "broken.png" for number in range(64 * SHARDS)]
    (folder / "list.txt").write_text("\n".join(lines))
    return folder / "list.txt"


@pytest.fixture
def cluster() -> Iterator[Any]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


def start(photos: Path, output: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "phototriage.cli", "score", str(photos), "-o", str(output), *options]
    return subprocess.Popen(
        [*command, "--include", "classify,difficulty,embed"], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_a_node_that_is_killed_costs_no_row(
    cluster: Any, photos: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    local, output = tmp_path / "local.parquet", tmp_path / "ray.parquet"
    process = start(photos, local, environment)
    assert process.wait(SECONDS) == 1, process.communicate()[1]  # 1: the broken images have no answer
    second = cluster.add_node(num_cpus=1)
    process = start(photos, output, environment, "--engine", "ray", "--address", cluster.address)
    end = time.monotonic() + SECONDS
    while len(list(folder_of(output).glob("*.parquet"))) < SHARDS // 8:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    cluster.remove_node(second, allow_graceful=False)
    done = len(list(folder_of(output).glob("*.parquet")))
    _, printed = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, printed
    assert done < SHARDS, "the node was killed too late to tell anything"
    assert output.read_bytes() == local.read_bytes()
    assert "2560 images, 52 of them errors" in printed


def test_models_that_are_not_there_are_told(photos: Path, environment: dict[str, str], tmp_path: Path) -> None:
    process = start(photos, tmp_path / "ray.parquet", environment, "--engine", "ray", "--classifier", "nobody")
    _, printed = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert "No classifier is called 'nobody'" in printed


class Failing(RayEngine):
    """Fails so many times before it gives all shards; each time behind the first one that is left."""

    def __init__(self, parts: Path, times: int) -> None:
        self._parts, self._times = Parts(parts, {}), times

    def _score(self, shards: list[Shard]) -> Iterator[tuple[int, int, bytes]]:
        for shard in shards:
            yield shard.number, 0, b"part"
            if self._times:
                self._times -= 1
                raise _ClusterFailed("a node is lost")


def test_a_cluster_that_fails_is_asked_again_for_what_is_left(tmp_path: Path) -> None:
    shards = [Shard(number, [Item("a", BytesInMemory(b"", 0))]) for number in range(5)]
    done = [shard.number for shard, _ in Failing(tmp_path, TRIES - 1).run(iter(shards))]
    assert done == [0, 1, 2, 3, 4]
    with pytest.raises(ScoringFailed, match="a node is lost"):
        list(Failing(tmp_path, TRIES).run(iter(shards)))
