"""The limit: decoding and the forward pass in a loop, a process a core, with no HTTP."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.load_generator import Load
from benchmarks.process_tree import cpu_seconds
from phototriage.difficulty.signals import softmax
from phototriage.images.pixels import ImageLimits, prepare
from phototriage.models.classifier import Classifier
from phototriage.models.loading import load_classifier
from phototriage.settings import Settings

Pixels = Callable[[bytes], NDArray[np.uint8]]


def our_pixels(model: Classifier) -> Pixels:
    """A file's bytes → (H, W, 3) as the service makes it."""
    return lambda data: prepare(data, model.manifest.input, ImageLimits()).pixels


def plain_pixels(model: Classifier) -> Pixels:
    """A file's bytes → (H, W, 3) as a few lines of Pillow make it: whole decoding, and no check of anything."""
    size = (model.manifest.input.width, model.manifest.input.height)

    def pixels(data: bytes) -> NDArray[np.uint8]:
        with Image.open(io.BytesIO(data)) as file:
            return np.asarray(file.convert("RGB").resize(size, Image.Resampling.BICUBIC))

    return pixels


class RawLoop:
    """A contestant without HTTP, whose connections are processes."""

    def __init__(
        self, name: str, folder: Path, photos: Mapping[str, Sequence[bytes]], plain: bool, processes: int, threads: int
    ) -> None:
        self.name = name
        self.connections = sorted({1, processes})
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, folder, dict(photos), plain, threads), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def wait_until_ready(self) -> None:
        for pipe in self._pipes:
            pipe.recv()

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def run(self, size: str, connections: int, seconds: float) -> tuple[Load, float]:
        """The load, and the CPU seconds that it took."""
        pipes = self._pipes[:connections]
        before, began = cpu_seconds(self.roots), perf_counter()
        for number, pipe in enumerate(pipes):
            pipe.send((size, number, seconds))
        rows = np.concatenate([pipe.recv() for pipe in pipes]) - began
        spent = cpu_seconds(self.roots) - before
        sent, done = rows[:, 0], rows[:, 1]
        statuses = np.full(len(rows), 200, np.int64)
        return Load(seconds, 0.0, statuses, sent, sent, done, 0, 0, len(rows)), spent

    def probabilities(self, jpeg: bytes) -> dict[str, float]:
        self._pipes[0].send(jpeg)
        found: dict[str, float] = self._pipes[0].recv()
        return found

    def end(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()  # which ends the process's loop
            process.join()


def _work(pipe: Connection, folder: Path, photos: Mapping[str, Sequence[bytes]], plain: bool, threads: int) -> None:
    """Until the pipe closes: a JPEG → its probabilities; (size, first photo, seconds) → times (n, 2) of each begin and
    end, on the clock that all processes have in common."""
    model = load_classifier(folder, Settings(provider="cpu", threads=threads))
    pixels = plain_pixels(model) if plain else our_pixels(model)
    pipe.send("ready")
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if isinstance(asked, bytes):
            shares = softmax(model.forward(pixels(asked)[np.newaxis])[0])
            pipe.send(dict(zip(model.labels, map(float, shares), strict=True)))
            continue
        size, number, seconds = asked
        jpegs, rows = photos[size], []
        end = perf_counter() + seconds
        while (began := perf_counter()) < end:
            softmax(model.forward(pixels(jpegs[number % len(jpegs)])[np.newaxis])[0])
            rows.append((began, perf_counter()))
            number += 1
        pipe.send(np.array(rows).reshape(-1, 2))
