"""What a part of the service's connections brings: `Parser`, which reads a request that offers another protocol as one
that doesn't.

    python -m benchmarks.connection_parts [--data photos.tar] [--rounds 15] [--seconds 2] [--output FILE]

Two servers are up all the time and take turns, each round beginning with another: the service, and the service without
`Parser`. They are asked by a closed loop for a tiny model's answer to a tiny PNG, where a request costs the most in
proportion, and for the shipped model's to photos of 180×180. Ratios are of the whole service over the one without the
part, in the same round: their geometric mean with a 95 % interval (Student's t on the logarithms). CPU time is that of
all processes of a server, over its answers.

What `Parser` is for can't be seen in a rate, so each server is also sent photos with such an offer, as clients of
HTTP/2 without TLS send them.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.stats import t

from benchmarks.contestants import HttpContestant, raw, read_ours, request
from benchmarks.http_load import versions
from benchmarks.load_generator import Address, ask
from benchmarks.load_photos import load_photos
from benchmarks.load_report import table
from benchmarks.load_rounds import rotated
from benchmarks.server_process import ServerProcess
from tests.tiny_models import solid, write_model
from training.statistics.intervals import Figure

PARTS = ("", "Parser")  # of which one is left out, or none
WITHOUT = "CONNECTION_WITHOUT"  # the variable that tells `benchmarks.connection_variants` which
SIZE, PHOTO = "180×180", "photo"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
OFFERS, OFFER_SECONDS = 20, 2.0
TAIL = 0.025


@dataclass(frozen=True)
class Turn:
    """A server in one round: answers a second, and CPU seconds an answer."""

    rate: float
    cpu: float


Turns = Mapping[tuple[int, str], Sequence[Turn]]  # by connections, and by the part that is left out
Servers = Mapping[str, HttpContestant]  # by the part that is left out


def geometric_mean(ratios: Sequence[float]) -> Figure:
    """With the 95 % interval of Student's t on the logarithms. Raises ValueError for fewer than two."""
    if len(ratios) < 2:
        raise ValueError("an interval needs two rounds at least")
    logs = np.log(ratios)
    half = float(t.ppf(1 - TAIL, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    middle = float(logs.mean())
    return Figure(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


def name_of(part: str) -> str:
    return f"without {part}" if part else "whole"


def server_without(part: str, models: Path, folder: Path) -> ServerProcess:
    command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.connection_variants:Phototriage"]
    return ServerProcess(
        name_of(part),
        lambda port: [*command, "--host", "127.0.0.1", "--port", str(port)],
        folder,
        {
            WITHOUT: part,
            "PHOTOTRIAGE_MODELS_DIRECTORY": str(models.resolve()),
            "PHOTOTRIAGE_PROVIDER": "cpu",
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    )


def measure(servers: Servers, counts: Sequence[int], rounds: int, seconds: float) -> Turns:
    """Each server in each round at each number of connections, after a turn of each that isn't kept."""
    turns: dict[tuple[int, str], list[Turn]] = {(count, part): [] for count in counts for part in servers}
    for server in servers.values():
        server.run(PHOTO, max(counts), seconds)
    began = perf_counter()
    for number, parts in enumerate(rotated(list(servers), rounds)):
        for count in counts:
            for part in parts:
                load, cpu = servers[part].run(PHOTO, count, seconds)
                turns[count, part].append(Turn(load.rate, cpu / load.answered))
        print(f"round {number + 1} of {rounds}: {perf_counter() - began:.0f} s", file=sys.stderr)
    return turns


def rows_of(model: str, turns: Turns) -> list[list[str]]:
    """A row for each part and number of connections."""
    rows = []
    for (count, part), without in turns.items():
        if not part:
            continue
        whole = turns[count, ""]
        rates = geometric_mean([a.rate / b.rate for a, b in zip(whole, without, strict=True)])
        costs = geometric_mean([a.cpu / b.cpu for a, b in zip(whole, without, strict=True)])
        rate = f"{np.median([turn.rate for turn in whole]):.0f}"
        rows.append(
            [part, model, str(count), rate, *(f"{r.value:.3f} ({r.low:.3f}–{r.high:.3f})" for r in (rates, costs))]
        )
    return rows


def offers_answered(address: Address, photo: bytes) -> int:
    """How many of OFFERS photos, each sent with an offer to go on in HTTP/2, are answered by 200."""
    whole = request("/v1/classify", *raw(photo)).replace(b"\r\n", b"\r\n" + OFFER, 1)
    answered = 0
    for _ in range(OFFERS):
        try:
            status, _ = ask(address, whole, seconds=OFFER_SECONDS)
        except (OSError, ValueError):
            continue
        answered += status == 200
    return answered


def measured(
    model: str, models: Path, photo: bytes, given: argparse.Namespace, folder: Path
) -> tuple[list[list[str]], list[str]]:
    """The table's rows about a model, and what became of offers at each server."""
    with ExitStack() as stack:
        generator = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        servers: dict[str, HttpContestant] = {}
        offers = []
        for part in PARTS:
            process = server_without(part, models, folder / f"{len(servers)}")
            stack.callback(process.end)
            servers[part] = HttpContestant(
                process, "/v1/classify", raw, read_ours, {PHOTO: [photo]}, generator, given.connections
            )
            servers[part].wait_until_ready()
            found = offers_answered(process.address, photo)
            offers.append(f"{model}, {name_of(part)}: {found} of {OFFERS} photos with an offer are answered")
        return rows_of(model, measure(servers, given.connections, given.rounds, given.seconds)), offers


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connection_parts", description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, default=Path("exported_models"), help="the shipped models")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="tars of photos; else docs/cat.jpg alone")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--output", type=Path, help="file for the table")
    given = parser.parse_args(arguments)
    (photos,) = load_photos(given.data, Path("docs/cat.jpg"), [SIZE], 1)
    header = ["part", "model", "connections", "requests/s with it", "rate with / without", "CPU time with / without"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model(folder / "tiny" / "tiny")
        tiny = measured("tiny", folder / "tiny", solid((255, 0, 0)), given, folder / "tiny_servers")
        shipped = measured("shipped", given.models, photos.jpegs[0], given, folder / "shipped_servers")
    notes = [*versions([]), f"{given.rounds} rounds of {given.seconds:g} s", str(photos), *tiny[1], *shipped[1]]
    report = table(header, [*tiny[0], *shipped[0]]) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(report)
    if given.output:
        given.output.write_text(report + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
