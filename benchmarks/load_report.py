"""What the load measured, as Markdown: medians over the rounds, with the least and the most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.load_generator import LOST, Load

REFUSED = (503, 504)
ACCEPTED_OR_REFUSED = (200, *REFUSED)


@dataclass(frozen=True)
class Sample:
    """One contestant in one round, or open-loop run: rates in images a second, times in seconds."""

    load: Load
    cores: int
    cpu_seconds: float = 0.0  # the contestant's
    cores_of_others: float = 0.0  # taken meanwhile by anything but the contestant and the generator

    @property
    def rate(self) -> float:
        return self.load.rate

    @property
    def rate_given_back(self) -> float:
        return self.load.rate_given_back(self.cores)

    @property
    def cpu_an_image(self) -> float:
        return self.cpu_seconds / self.load.answered if self.load.answered else float("nan")

    @property
    def failed(self) -> int:
        """Lost connections, and answers of any other status."""
        return len(self.load.statuses) - self.load.count(*ACCEPTED_OR_REFUSED)

    def percentile(self, q: float, since_sent: bool = False) -> float:
        return percentile(self.load.latencies(200, since_sent=since_sent), q)


Samples = Sequence[Sample]  # a round each
Cells = Mapping[tuple[str, int, str], Samples]  # (size, connections, contestant)


def percentile(seconds: NDArray[np.float64], q: float) -> float:
    return float(np.percentile(seconds, q)) if len(seconds) else float("nan")


def over_rounds(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """median [min, max]; a dash where there is nothing."""
    known = np.array([value for value in values if not np.isnan(value)]) * scale
    if not len(known):
        return "–"
    return f"{np.median(known):.{digits}f} [{known.min():.{digits}f}, {known.max():.{digits}f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def throughput(cells: Cells, size: str) -> str:
    """Rates, latencies and costs at one size of photo."""
    header = ["contestant", "connections or processes", "images/s", "images/s, generator's share given back"]
    header += ["p50 ms", "p95 ms", "p99 ms", "CPU ms an image", "answered", "refused", "failed"]
    rows = []
    for (cell_size, connections, name), samples in cells.items():
        if cell_size != size:
            continue
        times = [over_rounds([each.percentile(q) for each in samples], 1e3) for q in (50, 95, 99)]
        counts = [sum(values) for values in zip(*map(_counts, samples), strict=True)]
        rows.append(
            [
                name,
                str(connections),
                over_rounds([each.rate for each in samples]),
                over_rounds([each.rate_given_back for each in samples]),
                *times,
                over_rounds([each.cpu_an_image for each in samples], 1e3, 2),
                *map(str, counts),
            ]
        )
    return table(header, rows)


def _counts(sample: Sample) -> tuple[int, int, int]:
    return sample.load.count(200), sample.load.count(*REFUSED), sample.failed


def against(cells: Cells, reference: str, limit_connections: int | None = None) -> str:
    """Rates as shares of the reference's in the same round, at each size and number of connections.

    `limit_connections`: the reference's number, where it has but one that counts, as a loop without HTTP has.
    """
    header = ["size", "connections", "contestant", f"images/s, over {reference}"]
    rows = []
    for (size, connections, name), samples in cells.items():
        base = cells.get((size, limit_connections or connections, reference))
        if name == reference or base is None:
            continue
        shares = [a.rate / b.rate if b.rate else float("nan") for a, b in zip(samples, base, strict=True)]
        rows.append([size, str(connections), name, over_rounds(shares, digits=3)])
    return table(header, rows)


def others(cells: Cells) -> str:
    """How far the machine was another's: figures of a busy one compare contestants, and say little of each."""
    taken = [sample.cores_of_others for samples in cells.values() for sample in samples]
    low, median, high = np.percentile(taken, (10, 50, 90))
    return f"cores taken by other work meanwhile: {median:.2f} (80 % of the turns: {low:.2f} to {high:.2f})"


def added_latency(cells: Cells, services: Sequence[str], call: str) -> str:
    """p50 at one connection less that of the call in a process alone, in the same round."""
    rows = []
    for (size, connections, name), samples in cells.items():
        base = cells.get((size, 1, call))
        if connections == 1 and name in services and base is not None:
            added = [a.percentile(50) - b.percentile(50) for a, b in zip(samples, base, strict=True)]
            rows.append([size, name, over_rounds([b.percentile(50) for b in base], 1e3, 2), over_rounds(added, 1e3, 2)])
    return table(["size", "service", f"{call}: p50 ms", "added: p50 ms"], rows)


def arrivals(samples: Mapping[str, Samples], rates: Mapping[str, float], since_sent: bool) -> str:
    """Open loop: what became of arrivals at a rate of each contestant's own."""
    header = ["contestant", "offered/s", "200", "503", "504", "lost", "other", "not sent"]
    header += ["accepted: p50 ms", "p99 ms", "p99 / p50", "longest ms", "refused: p50 ms", "p99 ms"]
    rows = []
    for name, rounds in samples.items():
        loads = [each.load for each in rounds]
        counted = [sum(load.count(status) for load in loads) for status in (200, *REFUSED, LOST)]
        other = sum(len(load.statuses) for load in loads) - sum(counted)
        accepted = [load.latencies(200, since_sent=since_sent) for load in loads]
        refused = [load.latencies(*REFUSED, since_sent=since_sent) for load in loads]
        rows.append(
            [
                name,
                f"{rates[name]:.0f}",
                *map(str, [*counted, other, sum(load.unsent for load in loads)]),
                _times(accepted, lambda s: percentile(s, 50)),
                _times(accepted, lambda s: percentile(s, 99)),
                over_rounds([percentile(s, 99) / percentile(s, 50) for s in accepted], digits=2),
                _times(accepted, lambda s: percentile(s, 100)),
                _times(refused, lambda s: percentile(s, 50)),
                _times(refused, lambda s: percentile(s, 99)),
            ]
        )
    return table(header, rows)


def _times(rounds: Sequence[NDArray[np.float64]], of: Callable[[NDArray[np.float64]], float]) -> str:
    return over_rounds([of(seconds) for seconds in rounds], 1e3)
