"""Scoring on many machines, by Ray Data: the same Scorer in a pool of actors, a shard a block.

Every node needs this package, the models directory at the same place, and sight of the source. Where one is lost, Ray
starts its actors anew and computes again what went with it. The driver alone writes parts.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before it is imported: it would call home

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from phototriage.common.errors import PhototriageError
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.image_references import bytes_in_memory
from phototriage.scoring.parts import Parts, errors_in, part_of
from phototriage.scoring.pool import Job
from phototriage.scoring.scorer import Scorer, ScoringFailed, Shard, Started

BYTES_AT_ONCE = 1 << 30  # of images that a compressed archive makes hold
SHARDS_AT_ONCE = 4096  # of a Ray dataset, whose list of shards is in the driver's memory
TASK_TRIES = 16  # of a shard, while Ray doesn't know yet that its node is lost
TRIES = 3  # for shards that are left when a dataset has failed or lost blocks


class _ClusterFailed(ScoringFailed):
    """Something of Ray's own, as a node that is lost in a moment when Ray gives up; not of a shard."""


class RayEngine:
    """A ScorePool on a Ray cluster."""

    def __init__(self, job: Job, workers: int | None, parts: Path, address: str | None) -> None:
        """`workers` actors of one CPU each, or as many as the cluster has CPUs; a cluster of this machine without an
        address. Raises ScoringFailed."""
        self._job, self._parts = job, Parts(parts, {})
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (RayError, ConnectionError, ValueError) as error:
            raise ScoringFailed(f"The Ray cluster can't be reached: {error}") from error
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def wait_until_ready(self) -> Started:
        """What the actors are going to answer. Raises PhototriageError, ProviderUnavailable, ScoringFailed."""
        probe = ray.remote(num_cpus=1)(_probe)
        self._started = Started(*_told(lambda: ray.get(probe.remote(self._job))))
        return self._started

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]:
        """Shards whose parts are written, as they are, and how many of their rows are errors. Raises ScoringFailed,
        OSError."""
        for window in _windows(shards):
            some = {shard.number: shard for shard in window}
            for left in reversed(range(TRIES)):
                try:
                    for number, errors, content in self._score(list(some.values())):
                        if number in some:  # a block that was computed again may come twice
                            self._parts.write(number, content)
                            yield some.pop(number), errors
                except _ClusterFailed:
                    if not left:
                        raise
                if not some:
                    break
            else:
                raise ScoringFailed(f"{len(some)} shards were lost {TRIES} times. Start again: what is done is kept.")

    def close(self) -> None:
        ray.shutdown()

    def _score(self, shards: list[Shard]) -> Iterator[tuple[int, int, bytes]]:
        """The number of a shard, how many of its rows are errors, and its part; in any order."""
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(self._job, self._started),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self.workers),
            num_cpus=1,
            max_task_retries=TASK_TRIES,  # without a bound, an image that ends its process would be tried for ever
        )
        batches = iter(scored.iter_batches(batch_size=None, batch_format="pyarrow"))
        while (batch := _told(lambda: next(batches, None))) is not None:
            for row in batch.to_pylist():
                yield row["number"], row["errors"], row["part"]


def _windows(shards: Iterator[Shard]) -> Iterator[list[Shard]]:
    """Shards, as many at once as the driver's memory is to hold."""
    window: list[Shard] = []
    held = 0
    for shard in shards:
        window.append(shard)
        held += bytes_in_memory(item.piece for item in shard.items)
        if len(window) == SHARDS_AT_ONCE or held >= BYTES_AT_ONCE:
            yield window
            window, held = [], 0
    if window:
        yield window


class _Actor:
    """A Scorer for as long as the dataset is gone through."""

    def __init__(self, job: Job, expected: Started) -> None:
        self._scorer = Scorer(job.settings, job.question, job.threads)
        found = (self._scorer.parts, dict(self._scorer.versions))
        if found != (expected.parts, expected.versions):
            raise ScoringFailed(f"A node has other models: {found}, and the first had {expected}. Copy them to all.")

    def __call__(self, batch: pa.Table) -> pa.Table:
        shards: list[Shard] = [pickle.loads(each) for each in batch["shard"].to_pylist()]  # noqa: S301 — the driver's own
        tables = [self._scorer.score(shard) for shard in shards]
        return pa.table(
            {
                "number": [shard.number for shard in shards],
                "errors": [errors_in(table) for table in tables],
                "part": pa.array([part_of(*both) for both in zip(shards, tables, strict=True)], pa.binary()),
            }
        )


def _probe(job: Job) -> tuple[tuple[str, ...], dict[str, str]]:
    scorer = Scorer(job.settings, job.question, job.threads)
    return scorer.parts, dict(scorer.versions)


def _told(call: Any) -> Any:
    """What the call gives; failures of Ray as ours."""
    try:
        return call()
    except RayTaskError as error:
        if isinstance(error.cause, PhototriageError | ProviderUnavailable | ScoringFailed):
            raise error.cause from None
        raise ScoringFailed(f"A task of Ray failed: {error.cause}. What is done is kept: start again.") from error
    except RayError as error:
        raise _ClusterFailed(f"Ray failed: {error}. What is done is kept: start again.") from error
