"""A run of scoring: all images of a source to rows in a Parquet file. A run that was ended can be resumed."""

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
from phototriage.common.file_names import printable
from phototriage.common.progress import Progress
from phototriage.images.pixels import IMAGE_SUFFIXES
from phototriage.index.image_index import ImageIndex, IndexedModel
from phototriage.scoring import parts as score_parts
from phototriage.scoring.duplicates import NearDuplicates, open_index
from phototriage.scoring.image_references import Item, bytes_in_memory
from phototriage.scoring.parts import Parts, PartsError
from phototriage.scoring.photo_source import PhotoSource, SourceError, open_source
from phototriage.scoring.pool import Job, ScorePool
from phototriage.scoring.schema import ERROR, FORMAT, NAME, schema_of, with_metadata
from phototriage.scoring.scorer import Capabilities, Shard
from phototriage.settings import Settings
from phototriage.triage.pipeline import TriageRequest

PART_FORMAT = "2"  # of an unfinished run's parts, all of which have the same columns
SHARD_SIZE = 64  # images of a part file, at most; a killed run scores up to so many again for each worker
SHARD_BYTES = 64 << 20  # of images of a compressed archive in memory, from which on a shard is full
SHARDS_A_WORKER = 8  # at least, so that the last shards don't keep one worker busy for long
PRINTED_ERRORS = 20  # on stderr; the rows have all


class Engine(Protocol):
    """Scores shards, in processes of its own: a ScorePool or a RayEngine."""

    @property
    def workers(self) -> int:
        """How many shards are scored at once."""
        ...

    def wait_until_ready(self) -> Capabilities: ...

    def run(self, shards: Iterator[Shard]) -> Iterator[tuple[Shard, int]]: ...

    def close(self) -> None: ...


Start = Callable[[Job, int | None], Engine]


@dataclass(frozen=True)
class Task:
    """What to score, and how. `shard_size` is for tests."""

    source: str
    output: Path
    request: TriageRequest
    column: str | None = None
    workers: int | None = None  # one for each core without it
    threads: int = 1  # of a worker
    restart: bool = False
    near_duplicates: bool = False
    index: Path | None = None  # folder of the index of earlier runs' images
    shard_size: int = SHARD_SIZE


def score(task: Task, settings: Settings, start: Start = ScorePool) -> bool:
    """Score all images, and print progress and errors on stderr. Returns whether every image has an answer.

    Raises SourceError, PartsError, ScoringFailed, OSError; PhototriageError and ProviderUnavailable of the models.
    """
    source = open_source(task.source, task.column, settings.image_limits)
    with score_parts.locked(task.output):
        if task.output.exists() and not task.restart and not score_parts.is_begun(task.output):
            raise PartsError(f"{task.output} is there already. Take it away, write to another file, or say --restart.")
        return _score(task, source, settings, start)


def _score(task: Task, source: PhotoSource, settings: Settings, start: Start) -> bool:
    # Absolute, since processes on other machines have other working directories.
    settings = settings.model_copy(update={"models_directory": settings.models_directory.resolve()})
    job = Job(settings, _request(task), task.threads, _PartWriter(score_parts.folder_of(task.output)))
    with ExitStack() as stack:
        with closing(start(job, task.workers)) as engine:
            total = source.count()  # while the models are loaded
            if total is not None:
                _print_passed_over(source)
            if total == 0:
                raise SourceError(_no_images(source))
            capabilities = engine.wait_until_ready()
            # Before the images are scored, so that an index of another model is refused at once.
            index = stack.enter_context(_index(task, settings, capabilities))
            shard_size = _shard_size(task, total, engine.workers)
            parts = score_parts.begin(task.output, _description(task, settings, capabilities), shard_size, task.restart)
            count = _score_all(engine, source, parts, total)
            if total is None:
                _print_passed_over(source)
        if index is None:
            return _finish(task, parts, count, capabilities, None)
        key = source.key if task.index else str
        return _finish(task, parts, count, capabilities, NearDuplicates(*index, parts.identity, key))


def _print_passed_over(source: PhotoSource) -> None:
    """Print how many files are no images by their name."""
    for line in source.passed_over.told():
        print(f"phototriage: {line}", file=sys.stderr)


def _request(task: Task) -> TriageRequest:
    """The request, with the embeddings that near-duplicates are found by."""
    include = task.request.include
    if not task.near_duplicates or include is None or "embed" in include:
        return task.request
    return replace(task.request, include=(*include, "embed"))


@contextmanager
def _index(
    task: Task, settings: Settings, capabilities: Capabilities
) -> Iterator[tuple[ImageIndex, IndexedModel] | None]:
    """The index that near-duplicates are found in, if they are asked for: that of earlier runs, or one of this run
    alone."""
    if not task.near_duplicates:
        yield None
        return
    if "embed" not in capabilities.parts:
        raise UnknownModel("--near-duplicates needs an embedder, and none is served here. Train and export one.")
    # Beside the parts, where there is room: on many machines /tmp is in memory.
    with (
        TemporaryDirectory(dir=score_parts.folder_of(task.output)) as scratch,
        open_index(task.index or Path(scratch, "index"), settings, capabilities) as index,
    ):
        yield index


@dataclass(frozen=True)
class _PartWriter:
    """Writes a shard's part, in the process that scored it. Can be pickled."""

    folder: Path

    def __call__(self, shard: Shard, table: pa.Table) -> int:
        Parts(self.folder, {}).write(shard.number, score_parts.encode_part(shard, table))
        return score_parts.count_errors(table)


def _score_all(engine: Engine, source: PhotoSource, parts: Parts, total: int | None) -> int:
    """Score all shards that have no part yet, and return how many shards there are."""
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
    shard_items: list[Item] = []
    memory = 0
    for item in items:
        shard_items.append(item)
        memory += bytes_in_memory([item.reference])
        if len(shard_items) == size or memory >= SHARD_BYTES:
            yield Shard(number, shard_items)
            shard_items, memory, number = [], 0, number + 1
    if shard_items:
        yield Shard(number, shard_items)


def _shard_size(task: Task, total: int | None, workers: int) -> int:
    if total is None:
        return task.shard_size
    return max(1, min(task.shard_size, math.ceil(total / (SHARDS_A_WORKER * workers))))


def _description(task: Task, settings: Settings, capabilities: Capabilities) -> dict[str, Any]:
    """What has to be the same in two runs for one to resume the other, as JSON values."""
    is_local = "://" not in task.source
    description = {
        "format": FORMAT,
        "part_format": PART_FORMAT,
        "source": os.path.realpath(task.source) if is_local else task.source,
        "column": task.column,
        "question": asdict(replace(task.request, include=capabilities.parts)),
        "models": capabilities.versions,
        "limits": asdict(settings.image_limits),
    }
    as_json: dict[str, Any] = json.loads(json.dumps(description))
    return as_json


def _finish(
    task: Task, parts: Parts, count: int, capabilities: Capabilities, near_duplicates: NearDuplicates | None
) -> bool:
    """Merge the parts into the output, and print a summary. Returns whether every image has an answer."""
    errors = _Errors()
    metadata = {
        "format": FORMAT,
        "program": f"phototriage {__version__}",
        "source": printable(task.source),
        "question": json.dumps(parts.run["question"]),
        "models": json.dumps(capabilities.versions),
    }
    include = task.request.include
    schema = schema_of(
        [part for part in capabilities.parts if include is None or part in include], near_duplicates is not None
    )

    def rows(table: pa.Table) -> pa.Table:
        errors.add(table)
        return (table if near_duplicates is None else near_duplicates.add(table)).select(schema.names)

    with score_parts.merged(parts, count, task.output, with_metadata(schema, metadata), rows):
        if near_duplicates is not None:
            near_duplicates.commit()
    parts.delete()
    print(f"{task.output}: {errors.rows} images, {errors.count} of them errors", file=sys.stderr)
    return errors.count == 0


class _Errors:
    """Counts rows and errors, and prints the first errors."""

    def __init__(self) -> None:
        self.rows = self.count = 0

    def add(self, table: pa.Table) -> None:
        self.rows += len(table)
        problems = table.select([NAME, ERROR]).filter(table.column(ERROR).is_valid()).to_pylist()
        for row in problems[: max(0, PRINTED_ERRORS - self.count)]:
            print(f"phototriage: {row[NAME]}: {row[ERROR]['detail']}", file=sys.stderr)
        self.count += len(problems)
        if len(problems) and self.count > PRINTED_ERRORS >= self.count - len(problems):
            print("phototriage: more errors stand in the rows alone", file=sys.stderr)
