"""Processes that score shards side by side; one that dies is replaced, and what it worked on is tried again."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pyarrow as pa

from phototriage.common.errors import PhototriageError
from phototriage.common.process import end_with_parent
from phototriage.runtime.providers import ProviderUnavailable
from phototriage.scoring.scorer import Scorer, ScoringFailed, Shard, Started
from phototriage.settings import Settings, available_cores
from phototriage.triage.pipeline import TriageRequest

NO_IMAGE = -1  # in place of an image's, where a process ended at none
MOST_DEATHS = 3  # of processes that no image explains

logger = logging.getLogger(__name__)

# Libraries that would start a thread for each core, in each of as many processes.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _NotStarted(ScoringFailed):
    """A process ended before it could do anything."""


@dataclass(frozen=True)
class Job:
    """Where a scored shard is left: `write` is called in the process that scored it, with the shard and its table, and
    gives how many rows are errors. Can be pickled."""

    settings: Settings
    question: TriageRequest
    threads: int
    write: Callable[..., int]


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    shard: Shard | None = None
    place: int | None = None  # of the image that it is at, if it says so
    ready: bool = False


class ScorePool:
    """`workers` processes, which take up shards as they come."""

    def __init__(self, job: Job, workers: int | None = None) -> None:
        """One for each core without `workers`."""
        self._job = job
        # Processes are forked off one that has imported all, and has no threads yet.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([Scorer.__module__])
        # By the number of a shard that ended a process: at which images' places, how often.
        self._deaths: dict[int, Counter[int]] = {}
        self._lost_starts = 0  # in a row
        with _own_environment():
            self._workers = [self._start() for _ in range(workers or available_cores())]

    @property
    def workers(self) -> int:
        return len(self._workers)

    def wait_until_ready(self) -> Started:
        """What the processes are going to answer. Raises PhototriageError, ProviderUnavailable, ScoringFailed."""
        started = [self._started(worker) for worker in self._workers]
        if any(each != started[0] for each in started):
            raise ScoringFailed("A model was replaced while the processes started. Start again.")
        self._first = started[0]
        return started[0]

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]:
        """Shards that are done, as they are, and how many of their rows are errors. Raises ScoringFailed, OSError."""
        again: list[Shard] = []
        more = True
        while True:
            for worker in self._workers:
                if worker.ready and worker.shard is None and (again or more):
                    shard = again.pop() if again else next(shards, None)
                    if shard is None:
                        more = False
                    else:
                        self._give(worker, shard)
            busy = [worker for worker in self._workers if worker.shard is not None or not worker.ready]
            if not again and not more and all(worker.shard is None for worker in busy):
                return
            for pipe in wait([worker.pipe for worker in busy]):
                worker = next(each for each in busy if each.pipe is pipe)
                done = self._hear(worker, again)
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
        theirs.close()  # so that its end is noticed
        return _Worker(process, ours)

    def _started(self, worker: _Worker) -> Started:
        try:
            said = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            raise _NotStarted(
                f"A process ended while it loaded the models, {_ending(worker.process)}. If memory is short, try "
                "fewer by --workers."
            ) from None
        if isinstance(said, Exception):
            raise said
        worker.ready = True
        return Started(*said)

    def _give(self, worker: _Worker, shard: Shard) -> None:
        worker.shard, worker.place = shard, None
        deaths = self._deaths.get(shard.number)
        # One that was at hand once may have been killed by somebody.
        fatal = (
            None
            if deaths is None
            else frozenset(place for place, times in deaths.items() if times > 1 and place != NO_IMAGE)
        )
        with suppress(BrokenPipeError):  # it is dead, which is heard next
            worker.pipe.send((shard, fatal))

    def _hear(self, worker: _Worker, again: list[Shard]) -> tuple[Shard, int] | None:
        """Take in what a process says; gives its shard if that is done."""
        if not worker.ready:
            self._hear_start(worker)
            return None
        try:
            said = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker, again)
            return None
        if isinstance(said, Exception):
            raise said
        kind, value = said
        if kind == "at":
            worker.place = value
            return None
        shard, worker.shard = worker.shard, None
        if shard is None:
            raise RuntimeError("A process is done with what it wasn't given")
        self._deaths.pop(shard.number, None)
        return shard, value

    def _hear_start(self, worker: _Worker) -> None:
        """Of a process that takes another's place."""
        try:
            started = self._started(worker)
        except _NotStarted:
            self._lost_starts += 1
            if self._lost_starts > MOST_DEATHS:
                raise
            self._renew(worker)
            return
        if started != self._first:
            raise ScoringFailed("A model was replaced while images were scored. Start anew with --restart.")
        self._lost_starts = 0

    def _replace(self, worker: _Worker, again: list[Shard]) -> None:
        """Have a new process take a dead one's place. Its shard is tried again image by image; one that ends two
        processes then is given up."""
        worker.process.join()
        shard = worker.shard
        if shard is None:
            raise RuntimeError("A process that nobody waits for was heard of")
        is_first = shard.number not in self._deaths
        deaths = self._deaths.setdefault(shard.number, Counter())
        if worker.place is None and not is_first:
            deaths[NO_IMAGE] += 1  # of a table, a part, or by somebody's hand
        elif worker.place is not None:
            deaths[worker.place] += 1
        if deaths[NO_IMAGE] > MOST_DEATHS:
            raise ScoringFailed(f"A process ended, {_ending(worker.process)}. Start again: what is done is kept.")
        again.append(shard)
        self._renew(worker)

    def _renew(self, worker: _Worker) -> None:
        worker.pipe.close()
        with _own_environment():
            fresh = self._start()
        worker.process, worker.pipe, worker.shard, worker.ready = fresh.process, fresh.pipe, None, False


def _ending(process: ForkServerProcess) -> str:
    code = process.exitcode or 0
    return f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"


@contextmanager
def _own_environment() -> Iterator[None]:
    """What processes that are started meanwhile find in their environment: one thread each; and this package, rather
    than a folder of its name where the command was called, which is where Python looks first."""
    others = os.environ.get("PYTHONPATH")
    own = dict.fromkeys(_ONE_THREAD, "1") | {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]) + (os.pathsep + others if others else ""),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(pipe: Connection, job: Job) -> None:
    """Until the pipe closes: a shard → its rows, written. Places are told where the shard has ended a process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the first process decides
    try:
        scorer = Scorer(job.settings, job.question, job.threads)
    except (PhototriageError, ProviderUnavailable) as error:
        pipe.send(error)
        return
    pipe.send((scorer.parts, dict(scorer.versions)))
    with suppress(BrokenPipeError):  # the first process is gone
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
            except Exception as error:  # of the table, or of what nobody foresaw: not of one image
                logger.exception("Shard %d can't be scored", shard.number)
                pipe.send(ScoringFailed(f"Images from {shard.items[0].name!r} on can't be scored: {error!r}."))
                return


def _score(scorer: Scorer, shard: Shard, fatal: frozenset[int] | None, pipe: Connection) -> pa.Table:
    if fatal is None:
        return scorer.score(shard)
    table = scorer.score(shard, fatal, lambda place: pipe.send(("at", place)))
    pipe.send(("at", None))  # what ends the process from here on is no image
    return table
