"""Rounds in which all contestants take turns, so that a busy machine is as hard on each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from time import perf_counter
from typing import TypeVar

from benchmarks.contestants import Contestant, HttpContestant
from benchmarks.load_generator import poisson_arrivals
from benchmarks.load_photos import Photos
from benchmarks.load_report import Sample, over_rounds, table
from benchmarks.process_tree import machine_cpu_seconds, memory_bytes, tree

T = TypeVar("T")
Cell = tuple[str, int, str]  # size, connections, contestant

PARTS = ("classify", "difficulty", "saliency", "embed")
TRIAGE = f"/v1/triage?include={','.join(PARTS)}"
TRIAGE_CONNECTIONS = (1, 8)
SEED = 0


@dataclass(frozen=True)
class Plan:
    """How much is asked. Times in seconds."""

    sizes: Sequence[str]
    rounds: int
    seconds: float
    cores: int


def rotated(each: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Every round's order: each round begins with another."""
    for number in range(rounds):
        turn = number % len(each)
        yield [*each[turn:], *each[:turn]]


def closed(contestants: Mapping[str, Contestant], plan: Plan) -> dict[Cell, list[Sample]]:
    """A sample of each contestant, size and number of connections every round, after a warm-up that isn't kept."""
    cells: dict[Cell, list[Sample]] = {
        (size, connections, name): []
        for size in plan.sizes
        for name, contestant in contestants.items()
        for connections in contestant.connections
    }
    for contestant in contestants.values():
        contestant.run(plan.sizes[0], max(contestant.connections), plan.seconds / 2)
    steps = max(len(contestant.connections) for contestant in contestants.values())
    began = perf_counter()
    for number, names in enumerate(rotated(list(contestants), plan.rounds)):
        for size, step in product(plan.sizes, range(steps)):
            for name in names:
                for connections in contestants[name].connections[step : step + 1]:
                    cells[size, connections, name].append(_sample(contestants[name], size, connections, plan))
        print(f"round {number + 1} of {plan.rounds}: {perf_counter() - began:.0f} s", file=sys.stderr)
    return cells


def _sample(contestant: Contestant, size: str, connections: int, plan: Plan) -> Sample:
    began, busy = perf_counter(), machine_cpu_seconds()
    load, cpu = contestant.run(size, connections, plan.seconds)
    others = machine_cpu_seconds() - busy - cpu - load.generator_seconds
    return Sample(load, plan.cores, cpu, others / (perf_counter() - began))


def opened(
    servers: Sequence[HttpContestant], rates: Mapping[str, float], size: str, connections: int, plan: Plan
) -> dict[str, list[Sample]]:
    """Poisson arrivals at each server's own rate, other ones every round."""
    found: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for number, turn in enumerate(rotated(servers, plan.rounds)):
        for server in turn:
            arrivals = poisson_arrivals(rates[server.name], plan.seconds, SEED + number)
            load = server.run_open(size, connections, arrivals, plan.seconds)
            found[server.name].append(Sample(load, plan.cores))
    return found


def triage(service: HttpContestant, plan: Plan) -> str:
    """One call for all answers against a call for each, as the time an image takes, in the same round."""
    apart = [f"/v1/{part}" for part in PARTS]
    status, _ = service.ask(TRIAGE, service.photos[plan.sizes[0]][0])
    if status != 200:
        return f"`{TRIAGE}` answers {status}: not measured."
    rows = []
    for size, connections in product(plan.sizes, TRIAGE_CONNECTIONS):
        ratios, milliseconds, refused = [], [], 0
        for paths_in_turn in rotated([[TRIAGE], apart], plan.rounds):
            seconds = {}
            for paths in paths_in_turn:
                load, _ = service.run_requests(service.requests(size, *paths), connections, plan.seconds)
                seconds[len(paths)] = len(paths) / load.rate if load.rate else float("nan")
                refused += load.count(503)
            ratios.append(seconds[1] / seconds[len(apart)])
            milliseconds.append(seconds[1] * 1e3)
        rows.append([size, str(connections), over_rounds(milliseconds), over_rounds(ratios, digits=3), str(refused)])
    return table(["size", "connections", "one call: ms an image", "one call / four calls", "refused"], rows)


def tolerance(contestants: Mapping[str, Contestant], reference: str, photos: Sequence[Photos]) -> str:
    """The largest difference of a probability from the reference's, over all photos of each size."""
    rows = []
    for name, contestant in contestants.items():
        cells = []
        for each in photos:
            pairs = [(contestant.probabilities(it), contestants[reference].probabilities(it)) for it in each.jpegs]
            cells.append(
                f"{max(abs(found[label] - value) for found, plain in pairs for label, value in plain.items()):.2g}"
            )
        rows.append([name, *cells])
    return table(["contestant", *(each.size for each in photos)], rows)


def memory(contestants: Mapping[str, Contestant]) -> str:
    rows = []
    for name, contestant in contestants.items():
        processes = sorted({process for root in contestant.roots for process in tree(root)})
        rows.append([name, str(len(processes)), f"{memory_bytes(processes) / 1e6:.0f}"])
    return table(["contestant", "processes", "memory, MB"], rows)
