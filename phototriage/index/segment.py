"""What one or several batches added to an index, as a folder of its own: vectors, names, groups, and the answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from phototriage.common.errors import IndexFolderError
from phototriage.common.whole_folder import PART, whole_folder
from phototriage.model_folder.manifest import sha256_of

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

RECORD, VECTORS, GROUPS, REPLACED = "segment.json", "vectors.npy", "groups.npy", "replaced.npy"
NAMES, FOUNDED, ANSWERS = "names.json", "founded.json", "answers.jsonl"
ROWS_AT_ONCE = 4096
BYTES_AT_ONCE = 1 << 20
MERGED = 8  # segments of like size become one

_FOLDER = re.compile(r"segment-(\d{8})-(\d{8})")


class BatchRecord(BaseModel):
    """Of one batch: where its answers stand among the bytes of ANSWERS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    start: int
    stop: int


class Record(BaseModel):
    """`segment.json`. Rows and groups are numbered through all segments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_row: int
    rows: int
    batches: tuple[BatchRecord, ...]
    files: dict[str, str]  # SHA-256


@dataclass(frozen=True)
class Content:
    """What goes into a segment: `rows` vectors (rows, D) in blocks, as many names and groups, the labels of the groups
    that were founded, or, as a number, whose place among the names is theirs, rows that count no longer, answers."""

    first_row: int
    dimension: int
    names: Sequence[str]
    blocks: Iterable[Floats]
    groups: Indices
    founded: Sequence[int | str]
    replaced: Indices
    batches: tuple[BatchRecord, ...]
    answers: Iterable[bytes]


@dataclass(frozen=True)
class Segment:
    """One that was read; `vectors` (rows, D) are mapped, not loaded."""

    path: Path
    record: Record
    names: list[str]
    vectors: Floats
    groups: Indices
    founded: list[int | str]
    replaced: Indices

    @property
    def span(self) -> tuple[int, int]:
        """The numbers of the first and of the last batch in it."""
        return _span(self.path)

    def answers_of(self, batch_id: str) -> list[list[Any]] | None:
        """The answers of a batch, in its order, if it is here."""
        for batch in self.record.batches:
            if batch.id == batch_id:
                with (self.path / ANSWERS).open("rb") as file:
                    file.seek(batch.start)
                    return [json.loads(line) for line in file.read(batch.stop - batch.start).splitlines()]
        return None

    def answer_bytes(self) -> Iterator[bytes]:
        with (self.path / ANSWERS).open("rb") as file:
            while part := file.read(BYTES_AT_ONCE):
                yield part

    def blocks(self) -> Iterator[Floats]:
        for start in range(0, len(self.vectors), ROWS_AT_ONCE):
            yield self.vectors[start : start + ROWS_AT_ONCE]


def write(place: Path, span: tuple[int, int], content: Content) -> Path:
    """Write the segment of the batches first to last into the folder `place`: all of it or nothing."""
    folder = place / f"segment-{span[0]:08d}-{span[1]:08d}"
    with whole_folder(folder) as part:
        shape = (len(content.names), content.dimension)
        _write_vectors(part / VECTORS, shape, content.blocks)
        np.save(part / GROUPS, content.groups)
        np.save(part / REPLACED, content.replaced)
        (part / NAMES).write_text(json.dumps(list(content.names)), encoding="ascii")
        (part / FOUNDED).write_text(json.dumps(list(content.founded)), encoding="ascii")
        with (part / ANSWERS).open("wb") as file:
            file.writelines(content.answers)
        record = Record(
            first_row=content.first_row,
            rows=shape[0],
            batches=content.batches,
            files={path.name: sha256_of(path) for path in sorted(part.iterdir())},
        )
        (part / RECORD).write_text(record.model_dump_json() + "\n", encoding="utf-8")
    return folder


def _write_vectors(path: Path, shape: tuple[int, int], blocks: Iterable[Floats]) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for block in blocks:
            file.write(np.ascontiguousarray(block, "<f4").tobytes())


def read(folder: Path) -> Segment:
    """Raises IndexFolderError if a file is missing or isn't what was written."""
    try:
        record = Record.model_validate_json((folder / RECORD).read_bytes())
        for name, expected in record.files.items():
            if sha256_of(folder / name) != expected:
                raise IndexFolderError(
                    f"{folder / name} was changed or damaged: its SHA-256 isn't the one in {RECORD}. Restore the "
                    "folder from a copy, or start a new index."
                )
        vectors: Floats = np.load(folder / VECTORS, mmap_mode="r") if record.rows else np.load(folder / VECTORS)
        names, founded = (json.loads((folder / name).read_bytes()) for name in (NAMES, FOUNDED))
        groups, replaced = (np.load(folder / name) for name in (GROUPS, REPLACED))
    except (OSError, ValueError, ValidationError) as error:
        raise IndexFolderError(
            f"{folder} can't be read: {error}. Restore the folder from a copy, or start a new index."
        ) from error
    return Segment(folder, record, names, vectors.view(np.ndarray), groups, founded, replaced)


def folders(place: Path) -> list[Path]:
    """The segments in `place`, in order. Those that a merged one has taken in are left out."""
    found = sorted((path for path in place.iterdir() if _FOLDER.fullmatch(path.name)), key=_span)
    kept: list[Path] = []
    for path in sorted(found, key=lambda path: (_span(path)[0], -_span(path)[1])):
        if not kept or _span(path)[0] > _span(kept[-1])[1]:
            kept.append(path)
    expected = 1
    for path in kept:
        first, last = _span(path)
        if first != expected:
            raise IndexFolderError(
                f"{place} lacks the segment of batch {expected}. Restore the folder from a copy, or start a new index."
            )
        expected = last + 1
    return kept


def remove_leftovers(place: Path) -> None:
    """What was being written when a process died, and segments that a merged one has taken in."""
    kept = set(folders(place))
    for path in place.iterdir():
        if path.suffix == PART or (_FOLDER.fullmatch(path.name) and path not in kept):
            shutil.rmtree(path)


def _span(folder: Path) -> tuple[int, int]:
    _, first, last = folder.name.split("-")
    return int(first), int(last)


def to_merge(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The last ones that are to become one, if there are enough: each is less than twice as large as all behind it, so
    that a row is written again a few times only, however many batches come."""
    count, rows = 0, 0
    for segment in reversed(segments):
        if count and segment.record.rows >= 2 * max(rows, 1):
            break
        count, rows = count + 1, rows + segment.record.rows
    return segments[len(segments) - count :] if count >= MERGED else ()


def merge(place: Path, segments: Sequence[Segment]) -> Path:
    """Neighbouring segments as one, under the same row numbers. The old ones stay, as leftovers."""
    founded: list[int | str] = []
    batches: list[BatchRecord] = []
    rows, size = 0, 0
    for segment in segments:
        founded += [each + rows if isinstance(each, int) else each for each in segment.founded]
        batches += [moved(batch, size) for batch in segment.record.batches]
        rows += segment.record.rows
        size += (segment.path / ANSWERS).stat().st_size
    content = Content(
        first_row=segments[0].record.first_row,
        dimension=segments[0].vectors.shape[1],
        names=list(chain.from_iterable(segment.names for segment in segments)),
        blocks=chain.from_iterable(segment.blocks() for segment in segments),
        groups=np.concatenate([segment.groups for segment in segments]),
        founded=founded,
        replaced=np.concatenate([segment.replaced for segment in segments]),
        batches=tuple(batches),
        answers=chain.from_iterable(segment.answer_bytes() for segment in segments),
    )
    return write(place, (segments[0].span[0], segments[-1].span[1]), content)


def moved(batch: BatchRecord, by: int) -> BatchRecord:
    return BatchRecord(id=batch.id, start=batch.start + by, stop=batch.stop + by)
