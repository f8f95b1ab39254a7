"""How fast `phototriage score` is beside the limit: reading, decoding and the forward pass in a loop, a process a core.

Both go through the same files in one run, by turns. The command is timed whole, from its start to its end; its memory
is that of all its processes together (proportional set size).

    python -m benchmarks.score_rate --data cats_dogs.tar --images 10000 --rounds 3
    python -m benchmarks.score_rate --data cats_dogs.tar --images 100000 --rounds 1 --memory-only
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.process_tree import machine_cpu_seconds, memory_bytes, tree
from phototriage.difficulty.signals import softmax
from phototriage.images.pixels import IMAGE_SUFFIXES, ImageLimits, prepare
from phototriage.models.loading import load_model
from phototriage.scoring.image_files import read_file
from phototriage.settings import Settings, available_cores
from training.loop.compute import hardware

LOOK_SECONDS = 5.0  # between looks at the memory, each of which takes some of its time
MEMORY_LOOK_SECONDS = 0.2  # where nobody asks for the time
MEGABYTE = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="TAR", help="photos, which are repeated as needed")
    parser.add_argument("--model", type=Path, default=Path("exported_models/cats_dogs"))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--include", default="classify")
    parser.add_argument("--memory-only", action="store_true", help="leave the limit out")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        paths = unpack(options.data, Path(scratch))
        listed = Path(scratch) / "list.txt"
        listed.write_text("\n".join(str(path) for path in islice(cycle(paths), options.images)))
        print(f"{options.images} images, {len(paths)} of them different; ONNX Runtime {onnxruntime.__version__}")
        print(hardware())
        ratios = []
        look = MEMORY_LOOK_SECONDS if options.memory_only else LOOK_SECONDS
        for number in range(options.rounds):
            seconds = score(listed, options.include, Path(scratch), f"round {number + 1}: score", look)
            if not options.memory_only:
                limit = raw_loop(listed, options.model, available_cores())
                print(f"round {number + 1}: limit {options.images / limit:.1f} images/s")
                ratios.append(limit / seconds)
        if ratios:
            told = ", ".join(f"{ratio:.3f}" for ratio in ratios)
            print(f"score / limit: {np.median(ratios):.3f} (median of {len(ratios)}: {told})")
    return 0


def unpack(tar: Path, folder: Path) -> list[Path]:
    """The images of a tar as files."""
    with tarfile.open(tar) as archive:
        members = [member for member in archive if Path(member.name).suffix.lower() in IMAGE_SUFFIXES]
        archive.extractall(folder, members, filter="data")
    return sorted(folder / member.name for member in members)


def score(listed: Path, include: str, scratch: Path, name: str, look: float) -> float:
    """Seconds of the whole command."""
    output = scratch / "scores.parquet"
    busy, began = machine_cpu_seconds(), time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "phototriage.cli",
        "score",
        str(listed),
        "-o",
        str(output),
        "--include",
        include,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with watched(process.pid, look) as seen:
        _, told = process.communicate()
    seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise RuntimeError(told)
    images = sum(1 for line in listed.read_text().splitlines() if line)
    half = len(seen) // 2
    print(
        f"{name} {images / seconds:.1f} images/s, {seconds:.1f} s, CPU {machine_cpu_seconds() - busy:.1f} s; "
        f"memory: most {max(seen) / MEGABYTE:.0f} MB, median of the second half "
        f"{np.median(seen[half:]) / MEGABYTE:.0f} MB; output {output.stat().st_size / MEGABYTE:.1f} MB"
    )
    output.unlink()
    return seconds


@contextmanager
def watched(process: int, seconds: float) -> Iterator[list[int]]:
    """Memory of a process and its children, every so many seconds meanwhile."""
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(seconds):
            seen.append(memory_bytes(tree(process)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def raw_loop(listed: Path, model: Path, processes: int) -> float:
    """Seconds for the same files, in so many processes that are ready when the clock starts."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(processes + 1)
    paths = listed.read_text().splitlines()
    workers = [
        context.Process(target=_loop, args=(paths[place::processes], model, gate), daemon=True)
        for place in range(processes)
    ]
    for worker in workers:
        worker.start()
    gate.wait()
    began = time.perf_counter()
    gate.wait()
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return seconds


def _loop(paths: Sequence[str], folder: Path, gate: Barrier) -> None:
    model, limits = load_model(folder, Settings(provider="cpu", threads=1)), ImageLimits()
    gate.wait()
    for path in paths:
        pixels = prepare(read_file(Path(path), limits), model.manifest.input, limits).pixels
        softmax(model.forward(pixels[np.newaxis])[0])
    gate.wait()


if __name__ == "__main__":
    sys.exit(main())
