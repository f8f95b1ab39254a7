"""How a classifier's work is best spread over cores: processes or threads, threads a run, images a run.

    python -m benchmarks.parallel_runs --model exported_models/cats_dogs [--seconds 4] [--rounds 5]

The work is a file's way from bytes to logits. Every arrangement runs for some seconds in each round, in turns; images a
second are medians over the rounds, with the least and the most.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
import torch

from benchmarks.difficulty_cost import photos
from phototriage.images.pixels import ImageLimits, prepare
from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_classifier
from phototriage.settings import Settings, available_cores
from training.loop.compute import hardware
from training.statistics.turns import measure

BATCHES = (1, 2, 4, 8)
SIZE = "500×375"


def load(folder: Path, threads: int, runs: int) -> Classifier:
    return load_classifier(folder, Settings(provider="cpu", threads=threads * runs, model_runs=runs))


def count(model: Classifier, photo: bytes, seconds: float) -> int:
    """Images that one thread gets done."""
    rule, done, end = model.manifest.input, 0, perf_counter() + seconds
    while perf_counter() < end:
        model.logits(prepare(photo, rule, ImageLimits()).pixels[np.newaxis])
        done += 1
    return done


def in_threads(model: Classifier, photo: bytes, seconds: float, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: count(model, photo, seconds), range(threads))) / seconds


def _process(folder: Path, photo: bytes, asked: Queue[float], found: Queue[int]) -> None:
    model = load(folder, 1, 1)
    found.put(0)
    while (seconds := asked.get()) > 0:
        found.put(count(model, photo, seconds))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel_runs", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--photo", type=Path, default=Path("docs/cat.jpg"))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    cores, photo = available_cores(), photos(given.photo)[SIZE]
    context = multiprocessing.get_context("spawn")
    asked: Queue[float] = context.Queue()
    found: Queue[int] = context.Queue()
    processes = [context.Process(target=_process, args=(given.model, photo, asked, found)) for _ in range(cores)]
    for process in processes:
        process.start()
    for _ in processes:
        found.get()

    def in_processes() -> float:
        for _ in processes:
            asked.put(given.seconds)
        return float(sum(found.get() for _ in processes) / given.seconds)

    single, wide = load(given.model, 1, cores), load(given.model, cores, 1)
    shared = load(given.model, cores, cores)
    ways: dict[str, Callable[[], float]] = {
        f"{cores} processes, a thread a run": in_processes,
        f"{cores} threads, a thread a run": lambda: in_threads(single, photo, given.seconds, cores),
        f"{cores} threads, {cores} threads a run": lambda: in_threads(shared, photo, given.seconds, cores),
        f"1 thread, {cores} threads a run": lambda: in_threads(wide, photo, given.seconds, 1),
        "1 thread, a thread a run": lambda: in_threads(single, photo, given.seconds, 1),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    names = list(ways)
    for turn in range(given.rounds):
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            rates[way].append(ways[way]())
    for _ in processes:
        asked.put(0)
    print("| way | images/s |\n| --- | --- |")
    for way, each in rates.items():
        print(f"| {way} | {np.median(each):.1f} [{min(each):.1f}, {max(each):.1f}] |")
    rule = single.manifest.input
    images = {n: np.zeros((n, rule.height, rule.width, rule.channels), np.uint8) for n in BATCHES}
    seconds = measure({str(n): lambda n=n: single.logits(images[n]) for n in BATCHES}, 40)  # type: ignore[misc]
    print("\n| images a run, a thread | time an image, of that by itself |\n| --- | --- |")
    for n in BATCHES:
        ratio = seconds[str(n)] / n / seconds["1"]
        print(f"| {n} | {np.median(ratio):.2f} |")
    print(f"\n{SIZE} JPEG, {given.rounds} rounds of {given.seconds:g} s; {hardware(torch.device('cpu'))}, ", end="")
    print(f"{cores} cores; {single.name} {single.manifest.version}, onnxruntime {onnxruntime.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
