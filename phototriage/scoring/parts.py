"""What a run of scoring leaves while it goes on: a folder of part files beside the output, a file a shard.

A part is written under another name and renamed when it is whole, so a run that is killed has whole parts or none, and
the next one goes on behind them. The output is made of all parts at the end, and doesn't depend on how they were cut.
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
MOST_ROWS = 1 << 16  # of a row group
ROWS_WITH = {"saliency": 1 << 9, "embed": 1 << 13}

Rows = Callable[[pa.Table], pa.Table]


class PartsError(Exception):
    """The folder of parts can't be used. The message says why and what to do about it."""


def folder_of(output: Path) -> Path:
    """Where the parts of that output are."""
    return output.with_name(output.name + ".parts")


@dataclass(frozen=True)
class Parts:
    """The folder of parts of a run that is described by `run`."""

    folder: Path
    run: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Of this run, and of no other: it stays when the run goes on."""
        return str(self.run["id"])

    @property
    def shard_size(self) -> int:
        return int(self.run["shard_size"])

    def path(self, number: int) -> Path:
        return self.folder / f"{number:09}.parquet"

    def write(self, number: int, content: bytes) -> None:
        """Leave a shard's part, as `part_of` gave it. Raises OSError."""
        _write_whole(self.path(number), content)

    def has(self, shard: Shard) -> bool:
        """Whether a shard's rows are there. Raises PartsError where they are another's: the source has changed."""
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
        """Of the parts that are there."""
        return sorted(int(path.stem) for path in self.folder.glob("*.parquet"))

    def delete(self) -> None:
        """All but the lock, which goes with the folder when it is let go."""
        _remove_parts(self.folder)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)


def is_begun(output: Path) -> bool:
    """Whether a run has left parts of that output."""
    return (folder_of(output) / RUN_FILE).exists()


def begin(output: Path, described: Mapping[str, Any], shard_size: int, restart: bool) -> Parts:
    """The parts of an output, in its folder: none yet, or those of a run like this one, to go on. Raises PartsError,
    OSError."""
    folder = folder_of(output)
    path = folder / RUN_FILE
    if restart or not path.exists():
        _remove_parts(folder)  # parts without a description may be of any run
        run = {"id": uuid.uuid4().hex, "shard_size": shard_size, **described}
        _write_whole(path, json.dumps(run, indent=1).encode())
    try:
        found = json.loads(path.read_text())
        differing = [name for name, value in described.items() if found[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise PartsError(f"{path} isn't what was written there. Start anew with --restart.") from error
    if differing:
        told = "; ".join(_difference(name, found[name], described[name]) for name in differing)
        raise PartsError(
            f"{folder} is of another run: {told}. Finish that one, start anew with --restart, or write to another file."
        )
    return Parts(folder, found)


def _difference(name: str, was: Any, now: Any) -> str:
    """What two runs don't have in common, without what they have."""
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        return "; ".join(_difference(f"{name}.{key}", was.get(key), now.get(key)) for key in keys)
    return f"{name} was {was} and is {now}"


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep others from the same output meanwhile. Makes the folder of parts, and takes it away again if nothing else is
    in it. Raises PartsError, OSError."""
    folder = folder_of(output)
    held = _lock(folder, output)
    try:
        yield
    finally:
        if [path.name for path in folder.iterdir()] == [LOCK_FILE]:
            shutil.rmtree(folder)
        os.close(held)  # not before: nobody else may have begun in a folder that is taken away


def _lock(folder: Path, output: Path) -> int:
    """What holds the lock until it is closed."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            held = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # taken away since
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(held), (folder / LOCK_FILE).stat()):
                return held
        except BlockingIOError:
            os.close(held)
            raise PartsError(f"Another process writes {output}. Wait for it, or write to another file.") from None
        except FileNotFoundError:
            pass
        os.close(held)  # of a folder that was taken away since


def _remove_parts(folder: Path) -> None:
    """First what says whose the parts are, so that none are taken for another run's."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_file() and path.name != LOCK_FILE:
            path.unlink()


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


@contextmanager
def merged(parts: Parts, count: int, output: Path, schema: pa.Schema, rows: Rows) -> Iterator[None]:
    """Write all parts as one file, whose rows are those of the parts as `rows` gives them, in order. What is done
    inside is done when the file is whole, but before it gets its name.

    Raises PartsError if a part is missing, OSError.
    """
    temporary = output.with_name(output.name + ".part")
    with temporary.open("wb") as file:
        with parquet.ParquetWriter(file, schema, compression=COMPRESSION) as writer:
            for group in _row_groups((rows(table) for table in _tables(parts, count)), _group_size(schema)):
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
    """The same rows in tables of that size, wherever they were cut."""
    held: list[pa.Table] = []
    waiting = 0
    for table in tables:
        held.append(table)
        waiting += len(table)
        while waiting >= size:
            joined = pa.concat_tables(held).combine_chunks()
            yield joined.slice(0, size)
            held, waiting = [joined.slice(size)], waiting - size
    if waiting:
        yield pa.concat_tables(held).combine_chunks()


def _group_size(schema: pa.Schema) -> int:
    """Rows of a row group, so that one takes some tens of megabytes: columns that are large say how many."""
    return next((rows for column, rows in ROWS_WITH.items() if column in schema.names), MOST_ROWS)


def part_of(shard: Shard, table: pa.Table) -> bytes:
    """A shard's rows as the content of a part file, which tells whose they are."""
    sink = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"digest": shard.digest}), sink, compression=COMPRESSION)
    return sink.getvalue()


def errors_in(table: pa.Table) -> int:
    """How many rows tell why there is no answer."""
    return len(table) - int(table.column(ERROR).null_count)
