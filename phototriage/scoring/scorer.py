"""Images of a source to rows, in one process: models loaded once, files read ahead, a row for each image.

What a process of `phototriage score` runs, and an actor of Ray.
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

READERS = 4  # files that are read at once, ahead of the models: stores answer late
FILES_AT_ONCE, READ_AHEAD = 4, 3  # a thread's files; how many threads' are ahead

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Consecutive images of a source; `number` counts shards from 0."""

    number: int
    items: Sequence[Item]

    @property
    def digest(self) -> str:
        """Of the names: tells whether the source still holds them at this place."""
        return hashlib.sha256("\0".join(item.name for item in self.items).encode()).hexdigest()


class ScoringFailed(Exception):
    """The processes can't go on. The message says why and what to do about it."""


@dataclass(frozen=True)
class Started:
    """What all processes of a pool answer, and by which versions of which models."""

    parts: tuple[Part, ...]
    versions: dict[str, str]


class Scorer:
    """Answers one question about shard after shard."""

    def __init__(self, settings: Settings, question: TriageRequest, threads: int = 1) -> None:
        """Load and verify the models; `threads` images are worked on at once.

        Raises ModelFolderError, ProviderUnavailable; UnknownModel, UnknownLabel, MalformedRequest.
        """
        give_back_large_blocks()
        gpu = providers.choose(settings.provider)[0] == providers.CUDA
        self._settings = settings.model_copy(update={"threads": threads}).serving(gpu)
        parts = question.include or pipeline.DEFAULT_PARTS
        models = load_needed(self._settings, pipeline.kinds_of(parts), question.classifier, question.embedder)
        self._plan = pipeline.make_plan(models, question)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._thread_count = threads
        self._threads = None if threads == 1 else ThreadPoolExecutor(threads, thread_name_prefix="score")

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is answered about each image."""
        return self._plan.parts

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the models that answer, by name."""
        plan = self._plan
        models = [plan.classifier, plan.embedder, plan.difficulty_models and plan.difficulty_models.autoencoder]
        return {model.name: model.manifest.version for model in models if model is not None}

    def score(
        self,
        shard: Shard,
        fatal: Collection[int] = (),
        at: Callable[[int], object] | None = None,
    ) -> pa.Table:
        """A row for each image, in their order.

        With `at`, images are read and worked on one by one, and it hears of each one's place before; those at the
        places `fatal` have ended a process, and aren't touched.
        """
        rows = self._side_by_side(shard) if at is None else self._one_by_one(shard, fatal, at)
        return pa.Table.from_pylist(list(rows), schema_of(self.parts))

    def _one_by_one(self, shard: Shard, fatal: Collection[int], at: Callable[[int], object]) -> Iterator[Row]:
        for place, item in enumerate(shard.items):
            at(place)
            read = partial(item.piece.read, self._settings.image_limits)
            yield row_of(item.name, FATAL if place in fatal else self._answer(item.name, read))

    def _side_by_side(self, shard: Shard) -> Iterator[Row]:
        """With files that are read ahead."""
        work = (partial(self._row, name, content) for name, content in self._read_ahead(shard.items))
        if self._threads is None:
            return (each() for each in work)
        return (each.result() for each in _ahead(self._threads, work, 2 * self._thread_count))

    def _read_ahead(self, items: Sequence[Item]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Items' names, and what gives their contents or raises what reading them did. A thread reads several files at
        a time: to hand over each would cost the models a fiftieth of their time."""
        some = (items[start : start + FILES_AT_ONCE] for start in range(0, len(items), FILES_AT_ONCE))
        reading = _ahead(
            self._readers, (partial(_read, each, self._settings.image_limits) for each in some), READ_AHEAD
        )
        for several in reading:
            yield from several.result()

    def _row(self, name: str, read: Callable[[], bytes]) -> Row:
        return row_of(name, self._answer(name, read))

    def _answer(self, name: str, read: Callable[[], bytes]) -> TriageResponse | Problem:
        try:
            return pipeline.respond(self._plan, read(), self._settings.image_limits)
        except (PhototriageError, OSError) as error:
            return problem_of(problem_of_failure(error))
        except Exception:  # what nobody foresaw must not cost the other images their rows
            logger.exception("%s can't be scored", name)
            return bug()


def _read(items: Sequence[Item], limits: ImageLimits) -> list[tuple[str, Callable[[], bytes]]]:
    found: list[tuple[str, Callable[[], bytes]]] = []
    for item in items:
        content: Future[bytes] = Future()
        try:
            content.set_result(item.piece.read(limits))
        except Exception as error:  # raised again where the image's row is made
            content.set_exception(error)
        found.append((item.name, content.result))
    return found


def _ahead(pool: ThreadPoolExecutor, work: Iterator[Callable[[], T]], count: int) -> Iterator[Future[T]]:
    """What the calls give, in their order, of which up to `count` are begun before they are asked for."""
    begun = deque(pool.submit(each) for each in islice(work, count))
    while begun:
        yield begun.popleft()
        begun.extend(pool.submit(each) for each in islice(work, 1))


FATAL = Problem(
    title="The image ends the process that reads it",
    status=500,
    code="internal_error",
    detail="The process that worked on this image was killed twice: too little memory, or a fault of a decoder. Look "
    "at the file by itself, or give the machine more memory.",
)
