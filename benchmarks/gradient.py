"""What the exact gradient costs, as ratios from one run.

    python -m benchmarks.gradient --model exported_models/cats_dogs [--rounds 7] [--json FILE]

Each measurement has a process of its own, on 2 threads, and the processes take turns: torch's thread pool beside
ONNX Runtime's would slow both. A round's figure is the median of its runs, a row the median of the rounds' ratios.
`class` is the server's own class-only call; `forward` is a graph of the forward part alone, cut by onnx's extractor;
`whole` is logits and gradient together; `torch` is the same network in torch, batch norms folded, in the faster of
both memory layouts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import IMAGES, MODEL_FILE
from phototriage.models.loading import load_classifier
from phototriage.runtime.sessions import open_session
from phototriage.settings import Settings

THREADS = 2
KINDS = ("forward", "class", "whole", "torch")
RUNS = 30


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Median time of a call, after a few to warm up."""
    for _ in range(5):
        call()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def runtime_call(kind: str, folder: Path) -> Callable[[], object]:
    """One image through ONNX Runtime, with the server's session options."""
    settings = Settings(threads=THREADS, provider="cpu")
    rule, classes = manifest.read(folder).input, len(manifest.read(folder).labels)
    images = np.random.default_rng(0).integers(0, 256, (1, rule.height, rule.width, rule.channels), np.uint8)
    if kind == "forward":
        import onnx.utils

        whole = onnx.load(folder / MODEL_FILE)
        forward = onnx.utils.Extractor(whole).extract_model([IMAGES], ["logits"]).SerializeToString()
        session = open_session(forward, "forward", settings)
        return lambda: session.run(["logits"], {IMAGES: images})
    model = load_classifier(folder, settings)
    if kind == "class":
        return lambda: model.logits(images)
    weights = np.eye(classes, dtype=np.float32)[:1]
    return lambda: model.explain(images, weights)


def torch_seconds(folder: Path) -> float:
    """The faster of torch's two memory layouts."""
    import torch
    from torch.fx.experimental.optimization import fuse

    from training.export.reimport import untrained

    def input_gradient(network: torch.nn.Module, pixels: torch.Tensor) -> object:
        return torch.autograd.grad(network(pixels)[:, 0].sum(), pixels)

    torch.set_num_threads(THREADS)
    described = manifest.read(folder)
    rule = described.input
    network = fuse(untrained(described).eval()).requires_grad_(False)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network.to(memory_format=layout)
        pixels = torch.rand(1, rule.channels, rule.height, rule.width).to(memory_format=layout).requires_grad_()
        found.append(median_seconds(partial(input_gradient, network, pixels), RUNS))
    return min(found)


def worker(kind: str, folder: Path) -> None:
    """What a process of its own does: print one figure."""
    seconds = torch_seconds(folder) if kind == "torch" else median_seconds(runtime_call(kind, folder), RUNS)
    print(seconds)


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Median seconds of each kind in each round."""
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    for round_number in range(rounds):
        for kind in KINDS:
            command = [sys.executable, "-m", "benchmarks.gradient", "--model", str(folder), "--worker", kind]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            seconds[kind].append(float(done.stdout))
        print(f"round {round_number + 1} of {rounds}", file=sys.stderr, flush=True)
    return seconds


def rows(seconds: dict[str, list[float]]) -> dict[str, tuple[float, float, float]]:
    """Name → median, least and greatest ratio over the rounds."""

    def ratio(above: str, below: str) -> tuple[float, float, float]:
        found = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        return statistics.median(found), min(found), max(found)

    return {
        "gradient + forward / forward alone": ratio("whole", "forward"),
        "torch / ONNX Runtime, gradient + forward": ratio("torch", "whole"),
        "class-only call / forward-only graph": ratio("class", "forward"),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.worker:
        worker(given.worker, given.model)
        return 0
    seconds = measure(given.model, given.rounds)
    found = rows(seconds)
    rule = manifest.read(given.model).input
    for name, (median, least, greatest) in found.items():
        print(f"{name}: {median:.2f} ({least:.2f} to {greatest:.2f})")
    milliseconds = ", ".join(f"{kind} {statistics.median(values) * 1e3:.1f} ms" for kind, values in seconds.items())
    print(
        f"{milliseconds}; {rule.width}×{rule.height}, batch 1, {THREADS} threads, medians of {given.rounds} rounds of "
        f"{RUNS} runs; onnxruntime {version('onnxruntime-gpu')}, torch {version('torch')}"
    )
    if given.json:
        given.json.write_text(json.dumps({"seconds": seconds, "ratios": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
