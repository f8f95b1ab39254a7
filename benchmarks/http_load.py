"""The HTTP service against its raw limit and against other servers of the same model, all on the same cores.

    python -m benchmarks.http_load --data photos.tar [more.tar] [--open-loop] [--overload] [--triage] [--output FILE]

All servers are up all the time, and take turns: every round asks each for a few seconds at each size of photo and each
number of connections, each round beginning with another. `raw loop` is decoding as the service decodes and the forward
pass with one thread, in as many processes as cores; `plain loop` the same with a few lines of Pillow. At one
connection one of their processes works. Peers get the forward graph alone, as many workers as cores and one thread a
session, and are installed into environments of their own; all but MLServer, which takes JSON, get a form.

The load generator needs CPU time that a client elsewhere would not take from the server. `generator's share given back`
is images / (seconds × cores − generator's CPU seconds) × cores: what the cores would have done without it.

A client that is refused by 503 waits for as long as Retry-After says. CPU time is all processes' of a server, over all
images answered. Memory is the proportional set size after the load; this service holds all models of the folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx

from benchmarks import load_report
from benchmarks.contestants import Contestant, HttpContestant, Setting
from benchmarks.load_photos import SIZES, load_photos
from benchmarks.load_rounds import Plan, closed, memory, opened, tolerance, triage
from benchmarks.raw_loop import RawLoop
from benchmarks.server_process import PEERS, PeerUnavailable, package_versions, peer_python, runtime_version
from phototriage.model_folder import manifest
from phototriage.runtime.forward_graph import forward_only
from phototriage.settings import available_cores

RAW, PLAIN, CALL, WIDE_CALL = "raw loop", "plain loop", "raw call", "raw call on all cores"
SERVER, CONTAINER, OTHER = "server mode", "container mode", "the other checkout"
CONTAINED = {"BENTOML_CONTAINERIZED": "true"}
PEER_NAMES = ("fastapi", "litserve", "mlserver", "bentoml")
ALL = (RAW, PLAIN, CALL, WIDE_CALL, SERVER, CONTAINER, OTHER, *PEER_NAMES)
BUSY = 8  # connections at which a server's capacity is taken
OPEN_SHARE, OVERLOAD = 0.8, 10.0  # of the capacity
OPEN_CONNECTIONS, OVERLOAD_CONNECTIONS = 64, 512

Section = tuple[str, str]  # a title and a table


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_load", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=Path("exported_models/cats_dogs"), help="a classifier's folder")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="tars of photos; else docs/cat.jpg alone")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--connections", type=int, nargs="+", default=[1, BUSY, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, help="contestants; the loops are always there")
    parser.add_argument("--server-env", nargs="+", type=assignment, default=[], metavar="NAME=VALUE")
    parser.add_argument("--container-env", nargs="+", type=assignment, default=[], metavar="NAME=VALUE")
    parser.add_argument("--raw-body", action="store_true", help="send this service the file itself, not a form")
    parser.add_argument("--beside", type=Path, help="another checkout, whose server takes part, to compare versions")
    parser.add_argument("--open-size", choices=SIZES, default="500×375", help="of the photos in an open loop")
    parser.add_argument("--open-loop", action="store_true", help=f"also arrivals at {OPEN_SHARE} × the capacity")
    parser.add_argument("--overload", action="store_true", help=f"also arrivals at {OVERLOAD:g} × the capacity")
    parser.add_argument("--triage", action="store_true", help="also one call for four answers against four calls")
    parser.add_argument("--quick", action="store_true", help="one round of 1 s, to try it out")
    parser.add_argument("--output", type=Path, help="file for the tables")
    given = parser.parse_args(arguments)
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    return given


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def versions(peers: Sequence[str]) -> list[str]:
    """What computed: the machine, and the packages of the service and of each peer."""
    # Imported here, since the processes that take part import this module too, and would hold torch for nothing.
    import torch

    from training.loop.compute import hardware

    ours = package_versions(Path(sys.executable), ["bentoml", "starlette", "uvicorn", "uvloop", "numpy", "pillow"])
    found = [f"{hardware(torch.device('cpu')).split(',')[0]}, {available_cores()} cores"]
    found.append(f"service: onnxruntime {runtime_version()}, {ours}")
    for name in peers:
        pins = (PEERS / f"with_{name}.txt").read_text().split()
        packages = [pin.split("==")[0] for pin in pins]
        found.append(f"{name}: {package_versions(peer_python(name), [*packages, 'onnxruntime', 'numpy', 'pillow'])}")
    return found


def start(setting: Setting, given: argparse.Namespace, stack: ExitStack) -> tuple[dict[str, Contestant], list[str]]:
    """Everyone who is wanted and can be had; who can't, with the reason."""
    raw: dict[str, Callable[[], RawLoop]] = {
        RAW: lambda: RawLoop(RAW, given.model, setting.photos, False, setting.cores, 1),
        PLAIN: lambda: RawLoop(PLAIN, given.model, setting.photos, True, setting.cores, 1),
        CALL: lambda: RawLoop(CALL, given.model, setting.photos, False, 1, 1),  # a thread a run, as in the service
        WIDE_CALL: lambda: RawLoop(WIDE_CALL, given.model, setting.photos, False, 1, setting.cores),
    }
    modes = {SERVER: dict(given.server_env), CONTAINER: {**CONTAINED, **dict(given.container_env)}}
    found: dict[str, Contestant] = {}
    missing = []
    for name in ALL:
        if (name not in given.only and name not in raw) or (name == OTHER and given.beside is None):
            continue
        try:
            contestant: RawLoop | HttpContestant
            if name in raw:
                contestant = raw[name]()
            elif name == OTHER:
                contestant = setting.service(name, given.raw_body, modes[SERVER], given.beside.resolve())
            elif name in modes:
                contestant = setting.service(name, given.raw_body, modes[name])
            else:
                contestant = setting.peer(name)
            stack.callback(contestant.end)
            contestant.wait_until_ready()
        except PeerUnavailable as error:
            missing.append(str(error))
        else:
            found[name] = contestant
    return found, missing


def beyond(
    servers: Sequence[HttpContestant], capacities: Mapping[str, float], given: argparse.Namespace, plan: Plan
) -> list[Section]:
    """Open loops at a share of each server's capacity, and at many times of it."""
    wanted = [(OPEN_SHARE, OPEN_CONNECTIONS)] * given.open_loop + [(OVERLOAD, OVERLOAD_CONNECTIONS)] * given.overload
    sections = []
    for share, connections in wanted:
        rates = {name: share * capacity for name, capacity in capacities.items()}
        found = opened(servers, rates, given.open_size, connections, plan)
        # Under overload arrivals wait for one of the generator's connections, which says nothing of the server.
        since_sent = share > 1
        since = "its first byte" if since_sent else "its scheduled arrival"
        title = f"Poisson arrivals at {share:g} × the rate of the closed loop, {given.open_size}"
        title += f", at most {connections} connections; latency from {since}"
        sections.append((title, load_report.arrivals(found, rates, since_sent)))
    return sections


def measure(contestants: Mapping[str, Contestant], given: argparse.Namespace, plan: Plan) -> list[Section]:
    """Everything that was asked for."""
    servers = [each for each in contestants.values() if isinstance(each, HttpContestant)]
    cells = closed(contestants, plan)
    busy = BUSY if BUSY in given.connections else max(given.connections)
    sections = [(f"Closed loop, {size}", load_report.throughput(cells, size)) for size in plan.sizes]
    services = [SERVER, CONTAINER]
    sections += [
        (f"Against the {RAW} on all cores", load_report.against(cells, RAW, plan.cores)),
        (f"Against this service in {SERVER}", load_report.against(cells, SERVER)),
        *[
            (f"Added latency at one connection, over the {call}", load_report.added_latency(cells, services, call))
            for call in (CALL, WIDE_CALL)
        ],
        ("Memory after the load", memory(contestants)),
        ("The machine", load_report.others(cells)),
    ]
    if given.open_loop or given.overload:
        rates = {each.name: [one.rate for one in cells[given.open_size, busy, each.name]] for each in servers}
        capacities = {name: float(np.median(values)) for name, values in rates.items()}
        sections += beyond(servers, capacities, given, plan)
    if given.triage:
        sections += [(f"Triage, {each.name}", triage(each, plan)) for each in servers if each.name == SERVER]
    return sections


def main(arguments: Sequence[str] | None = None) -> int:
    given = options(arguments)
    described = manifest.read(given.model)
    photos = load_photos(given.data, Path("docs/cat.jpg"), given.sizes)
    plan = Plan(given.sizes, given.rounds, given.seconds, available_cores())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        forward = folder / "forward.onnx"
        onnx.save(forward_only(onnx.load(given.model / "model.onnx")), forward)
        jpegs = {each.size: each.jpegs for each in photos}
        setting = Setting(
            given.model.parent, forward, described.labels, plan.cores, folder, jpegs, generator, given.connections
        )
        contestants, missing = start(setting, given, stack)
        sections = [
            ("Largest difference of a probability from the plain loop's", tolerance(contestants, PLAIN, photos))
        ]
        sections += measure(contestants, given, plan)
    environment = ["=".join(each) for each in [*given.server_env, *given.container_env]]
    notes = [*versions([name for name in contestants if name in PEER_NAMES]), *map(str, photos), *missing]
    notes.append(
        f"this service: {' '.join(environment) or 'default settings'}; peers: {plan.cores} workers of 1 thread"
    )
    measured = f"median [min, max] of {plan.rounds} rounds of {plan.seconds:g} s"
    notes.append(f"{described.name} {described.version}; {measured}")
    report = "\n\n".join(f"### {title}\n\n{text}" for title, text in sections)
    report += "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(report)
    if given.output:
        given.output.write_text(report + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
