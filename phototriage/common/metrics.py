"""Prometheus metrics of the service: requests, stages, load, and the models' answers, to notice drift."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Literal, get_args

import psutil
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

Stage = Literal["read", "queue", "decode", "model", "verify", "search", "encode"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter("phototriage_requests", "Answers by route and status code", ["route", "code"])
DURATIONS = Histogram(
    "phototriage_request_seconds",
    "From a request's head to the end of its answer",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
STAGES = Histogram(
    "phototriage_stage_seconds",
    "Time in a stage of an image's way: read, queue, decode, model, search, verify, encode",
    ["stage"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
REFUSALS = Histogram(
    "phototriage_refusal_seconds",
    "From a request's head, or its whole body where that was read, to the refusal for want of room",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
QUEUE_DEPTH = Gauge("phototriage_queue_depth", "Pieces of work that wait or run", multiprocess_mode="livesum")
CAPACITY = Gauge("phototriage_queue_capacity", "Pieces that may wait or run", multiprocess_mode="livesum")
UPLOADS = Gauge("phototriage_uploads", "Images whose bytes are still coming in", multiprocess_mode="livesum")
READY = Gauge("phototriage_ready", "Workers that are ready", multiprocess_mode="livesum")
CUT = Counter("phototriage_connections_cut", "Connections that were ended, and why", ["reason"])
BATCH_SIZES = Histogram(
    "phototriage_batch_size", "Images that shared a run of the model", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
_TENTHS = tuple(tenth / 10 for tenth in range(1, 11))
CONFIDENCE = Histogram("phototriage_confidence", "Of the label given", ["model"], buckets=_TENTHS)
LABELS = Counter("phototriage_labels", "Labels given", ["model", "label"])
DIFFICULTY = Histogram("phototriage_difficulty_score", "Probability of error", ["model"], buckets=_TENTHS)
DUPLICATES = Counter("phototriage_duplicates", "Pairs by what was decided", ["model", "is_duplicate"])
SIMILARITY = Histogram(
    "phototriage_similarity", "Of the pairs that were compared", ["model"], buckets=(-0.5, 0.0, *_TENTHS)
)
CACHE = Counter("phototriage_answer_cache", "Answers looked up by the image's bytes: hit or miss", ["result"])
CACHE_BYTES = Gauge("phototriage_answer_cache_bytes", "Memory of the kept answers", multiprocess_mode="livesum")
MODELS = Gauge(
    "phototriage_model", "1 for each model that is served", ["name", "kind", "version"], multiprocess_mode="livemax"
)
RELOADS = Counter("phototriage_reloads", "Times the models directory was read again", ["result"])
# Without the collection's name: with several workers, the series of one that was deleted could not be taken away.
ADDITIONS = Counter(
    "phototriage_collection_additions", "Photos brought to collections, and what became of them", ["outcome"]
)
QUERIES = Counter(
    "phototriage_collection_queries", "Queries of collections, with or without a duplicate", ["is_duplicate"]
)
STORE_ERRORS = Counter("phototriage_collection_store_errors", "Times that what keeps collections did not answer")


_STAGE_HISTOGRAMS = {
    stage: STAGES.labels(stage) for stage in get_args(Stage)
}  # a look-up by label takes as long as counting


@cache
def answered(route: str, status: int) -> tuple[Counter, Histogram]:
    """The counter of a route's answers with a status, and the histogram of the route's times."""
    return REQUESTS.labels(route, status), DURATIONS.labels(route)


class timed:  # noqa: N801 — used as a function
    """Measures the time in the block for a stage, also if the block raises."""

    __slots__ = ("_histogram", "_start")

    def __init__(self, stage: Stage) -> None:
        self._histogram = _STAGE_HISTOGRAMS[stage]

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._histogram.observe(perf_counter() - self._start)


def observe(stage: Stage, seconds: float) -> None:
    """Count a time for a stage."""
    _STAGE_HISTOGRAMS[stage].observe(seconds)


def forget_the_dead() -> None:
    """Remove the gauges of processes that have ended from the folder that all workers share."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for file in Path(folder).glob("gauge_live*_*.db") if folder else ():
        process = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(process):
            mark_process_dead(process)  # type: ignore[no-untyped-call]


def exposition(own: Collector | None = None) -> bytes:
    """All metrics in Prometheus's text format. own: what this process alone can tell.

    With several workers, each process writes its values into files of one folder, whose name BentoML puts into the
    environment, and any worker answers for all.
    """
    told = CollectorRegistry()
    if own is not None:
        told.register(own)
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY) + generate_latest(told)
    MultiProcessCollector(told)  # type: ignore[no-untyped-call]
    return generate_latest(told)
