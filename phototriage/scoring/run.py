"""Scoring all images of a source: rows of answers in a Parquet file. What is done is kept, whatever ends the run."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa

from phototriage import __version__
from phototriage.common.errors import UnknownModel
from phototriage.common.progress import Progress
from phototriage.images.pixels import IMAGE_SUFFIXES
from phototriage.index.image_index import ImageIndex, IndexedModel
from phototriage.scoring import parts as score_parts
from phototriage.scoring.duplicates import NearDuplicates, opened
from phototriage.scoring.image_references import Item, bytes_in_memory
from phototriage.scoring.parts import Parts, PartsError
from phototriage.scoring.photo_source import PhotoSource, SourceError, open_source
from phototriage.scoring.pool import Job, ScorePool
from phototriage.scoring.schema import ERROR, FORMAT, NAME, schema_of, with_metadata
from phototriage.scoring.scorer import Shard, Started
from phototriage.settings import Settings
from phototriage.triage.pipeline import TriageRequest

SHARD_SIZE = 64  # images of a part file, at most; a run that is killed does so many again for each worker
SHARD_BYTES = 64 << 20  # of images that a compressed archive makes hold, from which on a shard is full
SHARDS_A_WORKER = 8  # at least, so that none is left alone with the last one for long
TOLD_SUFFIXES = 8
TOLD_ERRORS = 20  # on stderr; the rows have all


class Engine(Protocol):
    """What scores shards, in whichever processes."""

    @property
    def workers(self) -> int:
        """How many shards are worked on at once."""
        ...

    def wait_until_ready(self) -> Started: ...

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]: ...

    def close(self) -> None: ...


Start = Callable[[Job, int | None], Engine]


@dataclass(frozen=True)
class Task:
    """What is to be scored, and how. `shard_size` is for tests."""

    source: str
    output: Path
    question: TriageRequest
    column: str | None = None
    workers: int | None = None  # as many as there are cores
    threads: int = 1  # of a worker
    restart: bool = False
    near_duplicates: bool = False
    index: Path | None = None  # folder of what earlier runs have seen
    shard_size: int = SHARD_SIZE


def score(task: Task, settings: Settings, start: Start = ScorePool) -> bool:
    """Score all images; tells progress and errors on stderr. Returns whether every image has an answer.

    Raises SourceError, PartsError, ScoringFailed, OSError; PhototriageError and ProviderUnavailable of the models.
    """
    source = open_source(task.source, task.column, settings.image_limits)
    with score_parts.locked(task.output):
        if task.output.exists() and not task.restart and not score_parts.is_begun(task.output):
            raise PartsError(f"{task.output} is there already. Take it away, write to another file, or say --restart.")
        return _score(task, source, settings, start)


def _score(task: Task, source: PhotoSource, settings: Settings, start: Start) -> bool:
    # Processes on other machines start in folders of their own.
    settings = settings.model_copy(update={"models_directory": settings.models_directory.resolve()})
    job = Job(settings, _asked(task), task.threads, _Left(score_parts.folder_of(task.output)))
    with ExitStack() as stack:
        with closing(start(job, task.workers)) as engine:
            total = source.count()  # while the models are loaded
            _tell_passed_over(source)
            if total == 0:
                raise SourceError(_no_images(source))
            started = engine.wait_until_ready()
            # Before the work, so that an index of another model is told in time.
            index = stack.enter_context(_index(task, settings, started))
            size = _size(task, total, engine.workers)
            parts = score_parts.begin(task.output, _described(task, settings, started), size, task.restart)
            count = _score_all(engine, source, parts, total)
        if index is None:
            return _finish(task, parts, count, started, None)
        key = source.key if task.index else str
        return _finish(task, parts, count, started, NearDuplicates(*index, parts.identity, key))


def _tell_passed_over(source: PhotoSource) -> None:
    kinds = source.passed_over.most_common(TOLD_SUFFIXES)
    if kinds:
        told = ", ".join(f"{count} {suffix}" for suffix, count in kinds)
        more = ", …" if len(source.passed_over) > TOLD_SUFFIXES else ""
        files = source.passed_over.total()
        print(f"phototriage: passed over, not called as images are: {files} files ({told}{more})", file=sys.stderr)


def _asked(task: Task) -> TriageRequest:
    """With the embeddings that near-duplicates are found by."""
    include = task.question.include
    if not task.near_duplicates or include is None or "embed" in include:
        return task.question
    return replace(task.question, include=(*include, "embed"))


@contextmanager
def _index(task: Task, settings: Settings, started: Started) -> Iterator[tuple[ImageIndex, IndexedModel] | None]:
    """What the images are compared with, if they are to be: all of earlier runs, or those of this one alone."""
    if not task.near_duplicates:
        yield None
        return
    if "embed" not in started.parts:
        raise UnknownModel("--near-duplicates needs an embedder, and none is served here. Train and export one.")
    # Beside the parts, since there is room: on many machines /tmp is memory.
    with (
        TemporaryDirectory(dir=score_parts.folder_of(task.output)) as scratch,
        opened(task.index or Path(scratch, "index"), settings, started) as index,
    ):
        yield index


@dataclass(frozen=True)
class _Left:
    """Where the processes leave what they scored."""

    folder: Path

    def __call__(self, shard: Shard, table: pa.Table) -> int:
        Parts(self.folder, {}).write(shard.number, score_parts.part_of(shard, table))
        return score_parts.errors_in(table)


def _score_all(engine: Engine, source: PhotoSource, parts: Parts, total: int | None) -> int:
    """Have all shards scored that aren't yet; returns how many there are."""
    progress = Progress(total)
    count = 0

    def missing() -> Iterator[Shard]:
        nonlocal count
        for shard in _shards(source, parts.shard_size):
            count = shard.number + 1
            if parts.has(shard):
                progress.skip(len(shard.items))
            else:
                yield shard

    for shard, errors in engine.run(missing()):
        progress.step(len(shard.items), errors)
    if count == 0:
        raise SourceError(_no_images(source))
    if parts.numbers()[-1] >= count:
        raise PartsError(
            f"{parts.folder} was begun with more images than there are now. Start anew with --restart, or write to "
            "another file."
        )
    return count


def _no_images(source: PhotoSource) -> str:
    return f"{source.name} holds no images: nothing in it ends in {', '.join(sorted(IMAGE_SUFFIXES))}."


def _shards(source: PhotoSource, size: int) -> Iterator[Shard]:
    items, number = source.items(), 0
    some: list[Item] = []
    held = 0
    for item in items:
        some.append(item)
        held += bytes_in_memory([item.piece])
        if len(some) == size or held >= SHARD_BYTES:
            yield Shard(number, some)
            some, held, number = [], 0, number + 1
    if some:
        yield Shard(number, some)


def _size(task: Task, total: int | None, workers: int) -> int:
    if total is None:
        return task.shard_size
    return max(1, min(task.shard_size, math.ceil(total / (SHARDS_A_WORKER * workers))))


def _described(task: Task, settings: Settings, started: Started) -> dict[str, Any]:
    """What two runs have to have in common for one to go on where the other stopped."""
    local = "://" not in task.source
    described = {
        "format": FORMAT,
        "source": os.path.realpath(task.source) if local else task.source,
        "column": task.column,
        "question": asdict(replace(task.question, include=started.parts)),
        "models": started.versions,
        "limits": asdict(settings.image_limits),
    }
    found: dict[str, Any] = json.loads(json.dumps(described))
    return found


def _finish(task: Task, parts: Parts, count: int, started: Started, near: NearDuplicates | None) -> bool:
    """Make the output of the parts."""
    errors = _Errors()
    told = {
        "format": FORMAT,
        "program": f"phototriage {__version__}",
        "source": task.source,
        "question": json.dumps(parts.run["question"]),
        "models": json.dumps(started.versions),
    }
    asked = task.question.include
    schema = schema_of([part for part in started.parts if asked is None or part in asked], near is not None)

    def rows(table: pa.Table) -> pa.Table:
        errors.note(table)
        return (table if near is None else near.add(table)).select(schema.names)

    with score_parts.merged(parts, count, task.output, with_metadata(schema, told), rows):
        if near is not None:
            near.commit()
    parts.delete()
    print(f"{task.output}: {errors.rows} images, {errors.count} of them errors", file=sys.stderr)
    return errors.count == 0


class _Errors:
    """Counts rows and errors as they pass by, and tells the first errors."""

    def __init__(self) -> None:
        self.rows = self.count = 0

    def note(self, table: pa.Table) -> None:
        self.rows += len(table)
        found = table.select([NAME, ERROR]).filter(table.column(ERROR).is_valid()).to_pylist()
        for row in found[: max(0, TOLD_ERRORS - self.count)]:
            print(f"phototriage: {row[NAME]}: {row[ERROR]['detail']}", file=sys.stderr)
        self.count += len(found)
        if len(found) and self.count > TOLD_ERRORS >= self.count - len(found):
            print("phototriage: more errors stand in the rows alone", file=sys.stderr)
