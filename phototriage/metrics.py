"""Prometheus metrics of the service: requests by route and status, and how long the stages take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

Stage = Literal["read", "queue", "decode", "model", "encode"]

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
    "Time in a stage of an image's way: read, queue, decode, model, encode",
    ["stage"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)


@contextmanager
def timed(stage: Stage) -> Iterator[None]:
    """Count the time in the block towards a stage, also when it raises."""
    start = perf_counter()
    try:
        yield
    finally:
        STAGES.labels(stage).observe(perf_counter() - start)


def exposition() -> bytes:
    """All metrics in Prometheus's text format.

    Under several workers each process writes its values into files of one folder, whose name BentoML puts into
    the environment, and any of them answers for all.
    """
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
