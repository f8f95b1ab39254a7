"""Many pairs of kept signatures compared, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from phototriage.common.process import end_with_parent, environment_of_workers
from phototriage.verification.signature_cache import SignatureCache
from phototriage.verification.verifier import Verifier

CHUNK = 32  # pairs that a process takes at once; those of one image should stand together
MANY = 400  # pairs, from which on it is worth to start processes

EncodedPair = tuple[bytes, bytes]


class Comparisons:
    """Whether pairs are duplicates from a probability of `least` on. Threads wouldn't help: a comparison is many short
    calls, between which each holds the interpreter."""

    def __init__(self, verifier: Verifier, least: float, processes: int) -> None:
        self._own = _Worker(verifier, least)
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def answers(self, pairs: Sequence[EncodedPair], screened: bool) -> Iterator[list[bool]]:
        """One for each pair, in chunks. `screened`: refuse most at a first look, where few are copies. Raises
        SignatureError."""
        chunks = [(list(chunk), screened) for chunk in _chunks(pairs)]
        if self._processes < 2 or len(pairs) < MANY:
            return map(self._own.answers, chunks)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # OpenCV's threads don't survive a fork
            arguments = (self._own.verifier, self._own.least)
            self._pool = ProcessPoolExecutor(self._processes, context, _begin, arguments)
        with environment_of_workers():  # they begin with their work; a library's own threads only get in the way
            return self._pool.map(_answers, chunks)


def _chunks(pairs: Sequence[EncodedPair]) -> Iterable[Sequence[EncodedPair]]:
    return (pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK))


class _Worker:
    """What a process keeps: the verifier, and signatures that it decoded lately."""

    def __init__(self, verifier: Verifier, least: float) -> None:
        self.verifier, self.least, self._decoded = verifier, least, SignatureCache()

    def answers(self, work: tuple[Sequence[EncodedPair], bool]) -> list[bool]:
        pairs, screened = work
        return [self._are_same(a, b, screened) for a, b in pairs]

    def _are_same(self, a: bytes, b: bytes, screened: bool) -> bool:
        sides = self._decoded(a), self._decoded(b)
        if screened:
            return self.verifier.are_same(*sides, self.least)
        return self.verifier.verify(*sides, self.least).decision == "duplicate"


_workers: list[_Worker] = []  # this process's, once it has begun


def _begin(verifier: Verifier, least: float) -> None:
    end_with_parent()
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # it ended before
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked ends it
    _workers[:] = [_Worker(verifier, least)]


def _answers(work: tuple[Sequence[EncodedPair], bool]) -> list[bool]:
    return _workers[0].answers(work)
