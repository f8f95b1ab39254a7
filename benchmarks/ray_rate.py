"""How much faster two nodes of a Ray cluster score than one, with one worker each, on this host.

    make check-ray && .venv-ray/bin/python -m benchmarks.ray_rate --photos FOLDER --images 2000 --rounds 3

By turns, each with a cluster of its own. Rates are from the first part that is written to the last, so that starting
the cluster and loading models, which take longer than on one machine, don't count; how long they take is told beside.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import onnxruntime
import ray
from ray.cluster_utils import Cluster

from phototriage.scoring.image_references import Item, LocalFile
from phototriage.scoring.pool import Job
from phototriage.scoring.ray_engine import RayEngine
from phototriage.scoring.scorer import Shard
from phototriage.settings import Settings
from phototriage.triage.pipeline import TriageRequest

SHARD_SIZE = 32


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--models", type=Path, default=Path("exported_models"))
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    paths = sorted(given.photos.rglob("*.jpg"))
    items = [Item(str(path), LocalFile(str(path))) for path in islice(cycle(paths), given.images)]
    shards = [Shard(n, items[start : start + SHARD_SIZE]) for n, start in enumerate(range(0, len(items), SHARD_SIZE))]
    print(f"{len(items)} images, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"ray {ray.__version__}, onnxruntime {onnxruntime.__version__}")
    ratios = []
    for number in range(given.rounds):
        rates = {}
        for nodes in (1, 2):
            rates[nodes], before = rate(shards, nodes, given.models.resolve())
            print(f"round {number + 1}, {nodes} node(s): {rates[nodes]:.1f} images/s, first part after {before:.1f} s")
        ratios.append(rates[2] / (2 * rates[1]))
    told = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"two nodes / twice one: {median(ratios):.3f} (median of {len(ratios)}: {told})")
    return 0


def rate(shards: Sequence[Shard], nodes: int, models: Path) -> tuple[float, float]:
    """Images/s of that many nodes, and the seconds until the first part."""
    settings = Settings(models_directory=models, provider="cpu")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        began = perf_counter()
        with tempfile.TemporaryDirectory() as parts:
            job = Job(settings, TriageRequest(("classify",)), 1, len)
            with closing(RayEngine(job, None, Path(parts), cluster.address)) as engine:
                engine.wait_until_ready()
                times = [(perf_counter(), len(shard.items)) for shard, _ in engine.run(iter(shards))]
    finally:
        cluster.shutdown()
    first, last = times[0][0], times[-1][0]
    return sum(count for _, count in times[1:]) / (last - first), first - began


if __name__ == "__main__":
    sys.exit(main())
