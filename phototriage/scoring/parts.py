"""The part files of a run of scoring: a folder beside the output, with one file for each shard that is scored.

A part is written under a temporary name and renamed when it is complete, so a killed run leaves only complete parts,
and the next run scores only the shards that have none. At the end the parts are merged into the output, which doesn't
depend on the size of the shards.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from phototriage.scoring.schema import ERROR
from phototriage.scoring.scorer import Shard

RUN_FILE, LOCK_FILE = "run.json", "lock"
COMPRESSION = "zstd"
GROUP_ROWS = 1 << 16  # rows of a row group
GROUP_ROWS_WITH = {"saliency": 1 << 9, "embed": 1 << 13}  # if it has such a large column

Transform = Callable[[pa.Table], pa.Table]


class PartsError(Exception):
    """The folder of parts can't be used. The message says why and what to do about it."""


def folder_of(output: Path) -> Path:
    """The folder of an output's parts."""
    return output.with_name(output.name + ".parts")


@dataclass(frozen=True)
class Parts:
    """The folder of a run's parts. `run` is what RUN_FILE holds: the run's description, id and shard size."""

    folder: Path
    run: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """The run's id, which no other run has, and which it keeps when it is resumed."""
        return str(self.run["id"])

    @property
    def shard_size(self) -> int:
        return int(self.run["shard_size"])

    def path(self, number: int) -> Path:
        return self.folder / f"{number:09}.parquet"

    def write(self, number: int, content: bytes) -> None:
        """Write a shard's part, `content` from `encode_part`. Raises OSError."""
        _write_whole(self.path(number), content)

    def has(self, shard: Shard) -> bool:
        """Whether a shard has its part. Raises PartsError if the part is of other images: the source has changed."""
        path = self.path(shard.number)
        try:
            with path.open("rb") as file:
                schema = parquet.read_schema(file)
        except FileNotFoundError:
            return False
        except (OSError, pa.ArrowException) as error:
            raise PartsError(f"{path} can't be read: {error}. Delete it, and start again.") from error
        if (schema.metadata or {}).get(b"digest", b"").decode() != shard.digest:
            raise PartsError(
                f"The images aren't those that {self.folder} was begun with: some were added, renamed or taken away. "
                "Start anew with --restart, or write to another file."
            )
        return True

    def numbers(self) -> list[int]:
        """The numbers of the parts that exist, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob("*.parquet"))

    def delete(self) -> None:
        """Delete everything but the lock, which goes with the folder when it is released."""
        _remove_parts(self.folder)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)


def is_begun(output: Path) -> bool:
    """Whether a run has begun that output, and left its parts."""
    return (folder_of(output) / RUN_FILE).exists()


def begin(output: Path, description: Mapping[str, Any], shard_size: int, restart: bool) -> Parts:
    """The parts of an output: those of an unfinished run with the same `description`, or else none yet.

    `shard_size` is of a new run, and `restart` deletes the parts of an old one. Raises PartsError if the unfinished run
    has another description, OSError.
    """
    folder = folder_of(output)
    path = folder / RUN_FILE
    if restart or not path.exists():
        _remove_parts(folder)  # parts without a description may be of any run
        run = {"id": uuid.uuid4().hex, "shard_size": shard_size, **description}
        _write_whole(path, json.dumps(run, indent=1).encode())
    try:
        run = json.loads(path.read_text())
        differing = [name for name, value in description.items() if run[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise PartsError(f"{path} isn't what was written there. Start anew with --restart.") from error
    if differing:
        differences = "; ".join(_describe_difference(name, run[name], description[name]) for name in differing)
        raise PartsError(
            f"{folder} is of another run: {differences}. Finish that one, start anew with --restart, or write to "
            "another file."
        )
    return Parts(folder, run)


def _describe_difference(name: str, was: Any, now: Any) -> str:
    """The differences of two descriptions in words, without what they share."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        return "; ".join(_describe_difference(f"{name}.{key}", was.get(key), now.get(key)) for key in keys)
    return f"{name} was {was} and is {now}"


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other processes from the same output. Makes the folder of parts, and removes it at the end if only the lock
    is in it. Raises PartsError if another process has the lock, OSError."""
    folder = folder_of(output)
    lock = _lock(folder, output)
    try:
        yield
    finally:
        if [path.name for path in folder.iterdir()] == [LOCK_FILE]:
            shutil.rmtree(folder)
        os.close(lock)  # not before: another process may not begin in a folder that is being removed


def _lock(folder: Path, output: Path) -> int:
    """Lock the folder, and return the file descriptor that holds the lock until it is closed."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the folder was removed meanwhile
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (folder / LOCK_FILE).stat()):
                return lock
        except BlockingIOError:
            os.close(lock)
            raise PartsError(f"Another process writes {output}. Wait for it, or write to another file.") from None
        except FileNotFoundError:
            pass
        os.close(lock)  # the lock of a folder that was removed meanwhile


def _remove_parts(folder: Path) -> None:
    """Delete the run's description first, so that parts that remain are never taken for another run's."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_file() and path.name != LOCK_FILE:
            path.unlink()


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def merged(parts: Parts, count: int, output: Path, schema: pa.Schema, transform: Transform) -> Iterator[None]:
    """Write the parts of shards 0 to before `count` as one file, in order, each table as `transform` returns it.

    The block of the `with` statement runs when the file is complete, but before it gets its name. Raises PartsError if
    a part is missing, OSError.
    """
    temporary = output.with_name(output.name + ".part")
    with temporary.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression=COMPRESSION) as writer:
            for group in _row_groups((transform(table) for table in _tables(parts, count)), _group_size(schema)):
                writer.write_table(group.cast(schema), row_group_size=len(group))
        file.flush()
        os.fsync(file.fileno())
    yield
    temporary.replace(output)


def _tables(parts: Parts, count: int) -> Iterator[pa.Table]:
    for number in range(count):
        try:
            with parts.path(number).open("rb") as file:
                table = parquet.ParquetFile(file).read()
        except FileNotFoundError as error:
            raise PartsError(f"{parts.path(number)} is gone. Start again: it is scored anew.") from error
        yield table.replace_schema_metadata(None)


def _row_groups(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size` rows each, the last one of up to as many."""
    pending: list[pa.Table] = []
    pending_rows = 0
    for table in tables:
        pending.append(table)
        pending_rows += len(table)
        while pending_rows >= size:
            joined = pa.concat_tables(pending).combine_chunks()
            yield joined.slice(0, size)
            pending, pending_rows = [joined.slice(size)], pending_rows - size
    if pending_rows:
        yield pa.concat_tables(pending).combine_chunks()


def _group_size(schema: pa.Schema) -> int:
    """Rows of a row group, so that it takes some tens of megabytes."""
    return next((rows for column, rows in GROUP_ROWS_WITH.items() if column in schema.names), GROUP_ROWS)


def encode_part(shard: Shard, table: pa.Table) -> bytes:
    """A shard's rows as the content of a part file, with the shard's digest as metadata."""
    sink = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"digest": shard.digest}), sink, compression=COMPRESSION)
    return sink.getvalue()


def count_errors(table: pa.Table) -> int:
    """How many rows have a problem instead of an answer."""
    return len(table) - int(table.column(ERROR).null_count)
