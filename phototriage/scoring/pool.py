"""A pool of processes that score shards in parallel. One that dies is replaced, and its shard is tried again."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

import pyarrow as pa

from phototriage.common.errors import PhototriageError
from phototriage.common.process import end_with_parent, environment_of_workers
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.scorer import Capabilities, Scorer, ScoringFailed, Shard
from phototriage.settings import Settings, available_cores
from phototriage.triage.pipeline import TriageRequest

NO_IMAGE = -1  # instead of an image's place, where a process ended between images
MAX_DEATHS = 3  # of processes, without an image that may be the cause

logger = logging.getLogger(__name__)


class _NotStarted(ScoringFailed):
    """A process ended before it was ready."""


@dataclass(frozen=True)
class Job:
    """What the processes do: answer `request` with `threads` threads each, and call `write` with each shard and its
    table. It returns how many rows are errors. Can be pickled."""

    settings: Settings
    request: TriageRequest
    threads: int
    write: Callable[..., int]


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    shard: Shard | None = None
    place: int | None = None  # of the image that it reads or answers, if it reports that
    ready: bool = False


class ScorePool:
    """`workers` processes, each of which scores one shard at a time."""

    def __init__(self, job: Job, workers: int | None = None) -> None:
        """Start the processes: one for each core without `workers`."""
        self._job = job
        # Processes are forked from a server that has imported everything, and has no threads.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([Scorer.__module__])
        # By the number of a shard that ended processes: how often, by the image's place.
        self._deaths: dict[int, Counter[int]] = {}
        self._failed_starts = 0  # in a row
        with environment_of_workers():
            self._workers = [self._start() for _ in range(workers or available_cores())]

    @property
    def workers(self) -> int:
        return len(self._workers)

    def wait_until_ready(self) -> Capabilities:
        """What the processes will answer. Raises PhototriageError, ProviderUnavailable, ScoringFailed."""
        first, *others = [self._receive_capabilities(worker) for worker in self._workers]
        if any(other != first for other in others):
            raise ScoringFailed("A model was replaced while the processes started. Start again.")
        self._capabilities = first
        return first

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]:
        """Score the shards. Gives each one as it is done, and how many of its rows are errors, in any order.

        Raises ScoringFailed, OSError.
        """
        retries: list[Shard] = []
        has_more = True
        while True:
            for worker in self._workers:
                if worker.ready and worker.shard is None and (retries or has_more):
                    shard = retries.pop() if retries else next(shards, None)
                    if shard is None:
                        has_more = False
                    else:
                        self._assign(worker, shard)
            busy = [worker for worker in self._workers if worker.shard is not None or not worker.ready]
            if not retries and not has_more and all(worker.shard is None for worker in busy):
                return
            for pipe in wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is pipe)
                done = self._receive(worker, retries)
                if done is not None:
                    yield done

    def kill_all(self) -> None:
        for worker in self._workers:
            worker.process.kill()

    def close(self) -> None:
        self.kill_all()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._job), daemon=True)
        process.start()
        theirs.close()  # so that reading ours fails once the process has ended
        return _Worker(process, ours)

    def _receive_capabilities(self, worker: _Worker) -> Capabilities:
        """Wait for a new process to be ready. Raises what loading its models raised, _NotStarted if it ended."""
        try:
            message = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            raise _NotStarted(
                f"A process ended while it loaded the models, {_ending(worker.process)}. If memory is short, try "
                "fewer by --workers."
            ) from None
        if isinstance(message, Exception):
            raise message
        worker.ready = True
        return Capabilities(*message)

    def _assign(self, worker: _Worker, shard: Shard) -> None:
        worker.shard, worker.place = shard, None
        deaths = self._deaths.get(shard.number)
        # An image that was there at one death only may not be the cause: somebody may have killed the process.
        fatal = (
            None
            if deaths is None
            else frozenset(place for place, times in deaths.items() if times > 1 and place != NO_IMAGE)
        )
        with suppress(BrokenPipeError):  # it has ended, which the next read notices
            worker.pipe.send((shard, fatal))

    def _receive(self, worker: _Worker, retries: list[Shard]) -> tuple[Shard, int] | None:
        """Read a message of a process. Returns its shard and the count of errors if the shard is done."""
        if not worker.ready:
            self._receive_start(worker)
            return None
        try:
            message = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker, retries)
            return None
        if isinstance(message, Exception):
            raise message
        kind, value = message
        if kind == "at":
            worker.place = value
            return None
        shard, worker.shard = worker.shard, None
        if shard is None:
            raise RuntimeError("A process is done with what it wasn't given")
        self._deaths.pop(shard.number, None)
        return shard, value

    def _receive_start(self, worker: _Worker) -> None:
        """Read the first message of a process that replaces another."""
        try:
            capabilities = self._receive_capabilities(worker)
        except _NotStarted:
            self._failed_starts += 1
            if self._failed_starts > MAX_DEATHS:
                raise
            self._renew(worker)
            return
        if capabilities != self._capabilities:
            raise ScoringFailed("A model was replaced while images were scored. Start anew with --restart.")
        self._failed_starts = 0

    def _replace(self, worker: _Worker, retries: list[Shard]) -> None:
        """Replace a dead process. Its shard is tried again image by image, and an image that ends two processes then
        is given up."""
        worker.process.join()
        shard = worker.shard
        if shard is None:
            raise RuntimeError("A process that nobody waits for was heard of")
        is_first = shard.number not in self._deaths
        deaths = self._deaths.setdefault(shard.number, Counter())
        if worker.place is None and not is_first:
            deaths[NO_IMAGE] += 1  # while the table or the part was made, or killed by somebody
        elif worker.place is not None:
            deaths[worker.place] += 1
        if deaths[NO_IMAGE] > MAX_DEATHS:
            raise ScoringFailed(f"A process ended, {_ending(worker.process)}. Start again: what is done is kept.")
        retries.append(shard)
        self._renew(worker)

    def _renew(self, worker: _Worker) -> None:
        worker.pipe.close()
        with environment_of_workers():
            fresh = self._start()
        worker.process, worker.pipe, worker.shard, worker.ready = fresh.process, fresh.pipe, None, False


def _ending(process: ForkServerProcess) -> str:
    code = process.exitcode or 0
    return f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"


def _work(pipe: Connection, job: Job) -> None:
    """Score and write shards until the pipe closes. Places of images are reported if the shard has ended a process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all processes; the parent decides
    try:
        scorer = Scorer(job.settings, job.request, job.threads)
    except (PhototriageError, ProviderUnavailable) as error:
        pipe.send(error)
        return
    pipe.send((scorer.parts, dict(scorer.versions)))
    with suppress(BrokenPipeError):  # the parent has ended
        while True:
            try:
                shard, fatal = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(("done", job.write(shard, _score(scorer, shard, fatal, pipe))))
            except BrokenPipeError:
                raise
            except OSError as error:
                pipe.send(error)
                return
            except Exception as error:  # a bug that is not one image's, as when the table is made
                logger.exception("Shard %d can't be scored", shard.number)
                pipe.send(ScoringFailed(f"Images from {shard.items[0].name!r} on can't be scored: {error!r}."))
                return


def _score(scorer: Scorer, shard: Shard, fatal: frozenset[int] | None, pipe: Connection) -> pa.Table:
    if fatal is None:
        return scorer.score(shard)
    table = scorer.score(shard, fatal, lambda place: pipe.send(("at", place)))
    pipe.send(("at", None))  # from here on no image can end the process
    return table
