"""Scoring on many machines by Ray Data: the same Scorer in a pool of actors, one block for each shard.

Every node needs this package, the models directory at the same path, and access to the source. When a node is lost, Ray
restarts its actors on others and computes the lost shards again. Only the driver writes parts.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import, which would send usage statistics

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from phototriage.common.errors import PhototriageError
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.image_references import bytes_in_memory
from phototriage.scoring.parts import Parts, count_errors, encode_part
from phototriage.scoring.pool import Job
from phototriage.scoring.scorer import Capabilities, Scorer, ScoringFailed, Shard

BYTES_AT_ONCE = 1 << 30  # of images of a compressed archive in the driver's memory
SHARDS_AT_ONCE = 4096  # of a Ray dataset, whose shards are in the driver's memory
TASK_TRIES = 16  # of a shard, until Ray knows that its node is lost
TRIES = 3  # of the shards that remain when a dataset has failed or lost blocks


class _ClusterFailed(ScoringFailed):
    """A failure of Ray itself, not of a shard: such as a lost node where Ray doesn't retry."""


class RayEngine:
    """A ScorePool on a Ray cluster."""

    def __init__(self, job: Job, workers: int | None, parts: Path, address: str | None) -> None:
        """Connect to the cluster at `address`, or start one on this machine. `workers` actors of one CPU each, or as
        many as the cluster has CPUs. Raises ScoringFailed."""
        self._job, self._parts = job, Parts(parts, {})
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (RayError, ConnectionError, ValueError) as error:
            raise ScoringFailed(f"The Ray cluster can't be reached: {error}") from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def wait_until_ready(self) -> Capabilities:
        """What the actors will answer. Raises PhototriageError, ProviderUnavailable, ScoringFailed."""
        probe = ray.remote(num_cpus=1)(_probe)
        self._capabilities = Capabilities(*_translate_errors(lambda: ray.get(probe.remote(self._job))))
        return self._capabilities

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]:
        """Score the shards and write their parts. Gives each one as it is done, and how many of its rows are errors, in
        any order. Raises ScoringFailed, OSError."""
        for window in _windows(shards):
            remaining = {shard.number: shard for shard in window}
            for tries_left in reversed(range(TRIES)):
                try:
                    for number, errors, content in self._score(list(remaining.values())):
                        if number in remaining:  # a block that was computed again may come twice
                            self._parts.write(number, content)
                            yield remaining.pop(number), errors
                except _ClusterFailed:
                    if not tries_left:
                        raise
                if not remaining:
                    break
            else:
                raise ScoringFailed(
                    f"{len(remaining)} shards were lost {TRIES} times. Start again: what is done is kept."
                )

    def close(self) -> None:
        ray.shutdown()

    def _score(self, shards: list[Shard]) -> Iterator[tuple[int, int, bytes]]:
        """Each shard's number, how many of its rows are errors, and its part; in any order."""
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(self._job, self._capabilities),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self.workers),
            num_cpus=1,
            max_task_retries=TASK_TRIES,  # without a bound, an image that ends its process would be tried for ever
        )
        batches = iter(scored.iter_batches(batch_size=None, batch_format="pyarrow"))
        while (batch := _translate_errors(lambda: next(batches, None))) is not None:
            for row in batch.to_pylist():
                yield row["number"], row["errors"], row["part"]


def _windows(shards: Iterator[Shard]) -> Iterator[list[Shard]]:
    """Lists of consecutive shards, each as many as may be in the driver's memory at once."""
    window: list[Shard] = []
    size = 0
    for shard in shards:
        window.append(shard)
        size += bytes_in_memory(item.reference for item in shard.items)
        if len(window) == SHARDS_AT_ONCE or size >= BYTES_AT_ONCE:
            yield window
            window, size = [], 0
    if window:
        yield window


class _Actor:
    """A Scorer that lives as long as its dataset."""

    def __init__(self, job: Job, expected: Capabilities) -> None:
        self._scorer = Scorer(job.settings, job.request, job.threads)
        own = (self._scorer.parts, dict(self._scorer.versions))
        if own != (expected.parts, expected.versions):
            raise ScoringFailed(f"A node has other models: {own}, and the first had {expected}. Copy them to all.")

    def __call__(self, batch: pa.Table) -> pa.Table:
        shards: list[Shard] = [pickle.loads(content) for content in batch["shard"].to_pylist()]  # noqa: S301 — the driver's own
        tables = [self._scorer.score(shard) for shard in shards]
        return pa.table(
            {
                "number": [shard.number for shard in shards],
                "errors": [count_errors(table) for table in tables],
                "part": pa.array([encode_part(*pair) for pair in zip(shards, tables, strict=True)], pa.binary()),
            }
        )


def _probe(job: Job) -> tuple[tuple[str, ...], dict[str, str]]:
    scorer = Scorer(job.settings, job.request, job.threads)
    return scorer.parts, dict(scorer.versions)


def _translate_errors(call: Any) -> Any:
    """Return what the call returns; raise failures of Ray as ScoringFailed, and others as they were raised in a
    task."""
    try:
        return call()
    except RayTaskError as error:
        if isinstance(error.cause, PhototriageError | ProviderUnavailable | ScoringFailed):
            raise error.cause from None
        raise ScoringFailed(f"A task of Ray failed: {error.cause}. What is done is kept: start again.") from error
    except RayError as error:
        raise _ClusterFailed(f"Ray failed: {error}. What is done is kept: start again.") from error
