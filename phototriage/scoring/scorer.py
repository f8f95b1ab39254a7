"""The scorer of one process: models loaded once, image files read ahead, a row for each image.

Each process of `phototriage score` runs one, and each Ray actor.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from phototriage.common.errors import PhototriageError
from phototriage.common.memory import give_back_large_blocks
from phototriage.images.pixels import ImageLimits
from phototriage.models.model_set import load_needed
from phototriage.runtime import providers
from phototriage.scoring.image_references import Item, problem_of_failure
from phototriage.scoring.schema import Row, row_of, schema_of
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.pipeline import TriageRequest
from phototriage.triage.problems import bug, problem_of
from phototriage.triage.schemas import Part, Problem, TriageResponse

T = TypeVar("T")

READERS = 4  # threads that read files ahead of the models, since stores have a high latency
FILES_AT_ONCE, READ_AHEAD = 4, 3  # files of a read task; read tasks that are ahead of the models

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Consecutive images of a source: the unit of work. `number` counts the shards of a source from 0."""

    number: int
    items: Sequence[Item]

    @property
    def digest(self) -> str:
        """SHA-256 of the names, to check that the source still has the same images at this place."""
        return hashlib.sha256("\0".join(item.name for item in self.items).encode()).hexdigest()


class ScoringFailed(Exception):
    """Scoring can't go on. The message says why and what to do about it."""


@dataclass(frozen=True)
class Capabilities:
    """The parts that the processes of a pool answer, and the versions of their models, by name."""

    parts: tuple[Part, ...]
    versions: dict[str, str]


class Scorer:
    """Answers one request about the images of shard after shard."""

    def __init__(self, settings: Settings, request: TriageRequest, threads: int = 1) -> None:
        """Load and verify the models; `threads` images are answered at once.

        Raises ModelFolderError, ProviderUnavailable; UnknownModel, UnknownLabel, MalformedRequest.
        """
        give_back_large_blocks()
        gpu = providers.choose(settings.provider)[0] == providers.CUDA
        self._settings = settings.model_copy(update={"threads": threads}).serving(gpu)
        parts = request.include or pipeline.DEFAULT_PARTS
        models = load_needed(self._settings, pipeline.kinds_of(parts), request.classifier, request.embedder)
        self._plan = pipeline.make_plan(models, request)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._thread_count = threads
        self._threads = None if threads == 1 else ThreadPoolExecutor(threads, thread_name_prefix="score")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of each image's answer."""
        return self._plan.parts

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the models, by name."""
        plan = self._plan
        models = [plan.classifier, plan.embedder, plan.difficulty_models and plan.difficulty_models.autoencoder]
        return {model.name: model.manifest.version for model in models if model is not None}

    def score(
        self,
        shard: Shard,
        fatal: Collection[int] = (),
        report_place: Callable[[int], object] | None = None,
    ) -> pa.Table:
        """A table with a row for each image, in their order.

        With `report_place`, images are read and answered one by one, and it is called with each one's place in the
        shard before. Those at the places `fatal` have ended a process before: they aren't read, and get a problem.
        """
        rows = self._in_parallel(shard) if report_place is None else self._one_by_one(shard, fatal, report_place)
        return pa.Table.from_pylist(list(rows), schema_of(self.parts))

    def _one_by_one(self, shard: Shard, fatal: Collection[int], report_place: Callable[[int], object]) -> Iterator[Row]:
        for place, item in enumerate(shard.items):
            report_place(place)
            read = partial(item.reference.read, self._settings.image_limits)
            yield row_of(item.name, FATAL if place in fatal else self._answer(item.name, read))

    def _in_parallel(self, shard: Shard) -> Iterator[Row]:
        """As `_one_by_one`, with files read ahead, and with several threads."""
        work = (partial(self._row, name, content) for name, content in self._read_ahead(shard.items))
        if self._threads is None:
            return (make_row() for make_row in work)
        return (row.result() for row in _run_ahead(self._threads, work, 2 * self._thread_count))

    def _read_ahead(self, items: Sequence[Item]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Each item's name, with a function that returns its content, or raises what reading it raised.

        A task reads several files: one task for each file would take 2% of the models' time.
        """
        blocks = (items[start : start + FILES_AT_ONCE] for start in range(0, len(items), FILES_AT_ONCE))
        tasks = (partial(_read, block, self._settings.image_limits) for block in blocks)
        for contents in _run_ahead(self._readers, tasks, READ_AHEAD):
            yield from contents.result()

    def _row(self, name: str, read: Callable[[], bytes]) -> Row:
        return row_of(name, self._answer(name, read))

    def _answer(self, name: str, read: Callable[[], bytes]) -> TriageResponse | Problem:
        try:
            return pipeline.respond(self._plan, read(), self._settings.image_limits)
        except (PhototriageError, OSError) as error:
            return problem_of(problem_of_failure(error))
        except Exception:  # a bug at one image must not cost the others their rows
            logger.exception("%s can't be scored", name)
            return bug()


def _read(items: Sequence[Item], limits: ImageLimits) -> list[tuple[str, Callable[[], bytes]]]:
    contents: list[tuple[str, Callable[[], bytes]]] = []
    for item in items:
        content: Future[bytes] = Future()
        try:
            content.set_result(item.reference.read(limits))
        except Exception as error:  # raised again when the image's row is made
            content.set_exception(error)
        contents.append((item.name, content.result))
    return contents


def _run_ahead(pool: ThreadPoolExecutor, calls: Iterator[Callable[[], T]], count: int) -> Iterator[Future[T]]:
    """Run the calls in the pool, up to `count` of them ahead, and give their futures in order."""
    futures = deque(pool.submit(call) for call in islice(calls, count))
    while futures:
        yield futures.popleft()
        futures.extend(pool.submit(call) for call in islice(calls, 1))


FATAL = Problem(
    title="The image ends the process that reads it",
    status=500,
    code="internal_error",
    detail="The process that worked on this image was killed twice: too little memory, or a fault of a decoder. Look "
    "at the file by itself, or give the machine more memory.",
)
