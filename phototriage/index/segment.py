"""A segment of an index: a folder of the vectors, names, groups and answers that one or several batches added."""

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

from phototriage.common.atomic_writes import PART, atomic_folder
from phototriage.common.errors import IndexFolderError
from phototriage.model_folder.manifest import sha256_of
from phototriage.verification import kept_signatures
from phototriage.verification.kept_signatures import SignatureFile

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

RECORD, VECTORS, GROUPS, REPLACED = "segment.json", "vectors.npy", "groups.npy", "replaced.npy"
SIGNATURES, SIGNATURE_ENDS = "signatures.bin", "signature_ends.npy"  # where images are verified
NAMES, GROUP_LABELS, ANSWERS = "names.json", "founded.json", "answers.jsonl"
ROWS_AT_ONCE = 4096
BYTES_AT_ONCE = 1 << 20
MERGE_COUNT = 8  # so many segments of similar size are merged into one

_FOLDER = re.compile(r"segment-(\d{8})-(\d{8})")


class BatchRecord(BaseModel):
    """Where a batch's answers are in ANSWERS: from byte `start` to before `stop`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    start: int
    stop: int


class Record(BaseModel):
    """`segment.json`. Rows and groups are numbered through all segments of an index."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_row: int
    rows: int
    batches: tuple[BatchRecord, ...]
    files: dict[str, str]  # SHA-256


@dataclass(frozen=True)
class Content:
    """What a segment is written from.

    names, groups: of its rows. blocks: their vectors (rows, D), in blocks. group_labels: of the groups that were
    founded in it, each as text, or as a row's place in the segment whose name it is. replaced: rows that its batches
    made dead. answers: the batches' answers, in their order, as lines of JSON. signatures: of its rows, or None in an
    index that doesn't verify.
    """

    first_row: int
    dimension: int
    names: Sequence[str]
    blocks: Iterable[Floats]
    groups: Indices
    group_labels: Sequence[int | str]
    replaced: Indices
    batches: tuple[BatchRecord, ...]
    answers: Iterable[bytes]
    signatures: Iterable[bytes] | None = None


@dataclass(frozen=True)
class Segment:
    """A segment that was read; `vectors` (rows, D) and signatures are mapped, not loaded. Else as in `Content`."""

    path: Path
    record: Record
    names: list[str]
    vectors: Floats
    groups: Indices
    group_labels: list[int | str]
    replaced: Indices
    signatures: SignatureFile | None

    @property
    def span(self) -> tuple[int, int]:
        """The numbers of its first and last batch."""
        return _span(self.path)

    def answers_of(self, batch_id: str) -> list[list[Any]] | None:
        """The answers of a batch, in order; None if the segment doesn't hold it."""
        for batch in self.record.batches:
            if batch.id == batch_id:
                with (self.path / ANSWERS).open("rb") as file:
                    file.seek(batch.start)
                    return [json.loads(line) for line in file.read(batch.stop - batch.start).splitlines()]
        return None

    def answer_bytes(self) -> Iterator[bytes]:
        with (self.path / ANSWERS).open("rb") as file:
            while block := file.read(BYTES_AT_ONCE):
                yield block

    def blocks(self) -> Iterator[Floats]:
        for start in range(0, len(self.vectors), ROWS_AT_ONCE):
            yield self.vectors[start : start + ROWS_AT_ONCE]


def write(generation: Path, span: tuple[int, int], content: Content) -> Path:
    """Write the segment of batches `span`, first and last, into the folder `generation`: all of it or nothing."""
    folder = generation / f"segment-{span[0]:08d}-{span[1]:08d}"
    with atomic_folder(folder) as temporary:
        shape = (len(content.names), content.dimension)
        _write_vectors(temporary / VECTORS, shape, content.blocks)
        if content.signatures is not None:
            kept_signatures.write(content.signatures, temporary / SIGNATURES, temporary / SIGNATURE_ENDS)
        np.save(temporary / GROUPS, content.groups)
        np.save(temporary / REPLACED, content.replaced)
        (temporary / NAMES).write_text(json.dumps(list(content.names)), encoding="ascii")
        (temporary / GROUP_LABELS).write_text(json.dumps(list(content.group_labels)), encoding="ascii")
        with (temporary / ANSWERS).open("wb") as file:
            file.writelines(content.answers)
        record = Record(
            first_row=content.first_row,
            rows=shape[0],
            batches=content.batches,
            files={path.name: sha256_of(path) for path in sorted(temporary.iterdir())},
        )
        (temporary / RECORD).write_text(record.model_dump_json() + "\n", encoding="utf-8")
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
        names, group_labels = (json.loads((folder / name).read_bytes()) for name in (NAMES, GROUP_LABELS))
        groups, replaced = (np.load(folder / name) for name in (GROUPS, REPLACED))
        has_signatures = SIGNATURES in record.files
        signatures = kept_signatures.read(folder / SIGNATURES, folder / SIGNATURE_ENDS) if has_signatures else None
    except (OSError, ValueError, ValidationError) as error:
        raise IndexFolderError(
            f"{folder} can't be read: {error}. Restore the folder from a copy, or start a new index."
        ) from error
    return Segment(folder, record, names, vectors.view(np.ndarray), groups, group_labels, replaced, signatures)


def folders(generation: Path) -> list[Path]:
    """The segments in `generation`, in order, without those that a merged segment replaces.

    Raises IndexFolderError if one is missing.
    """
    paths = sorted((path for path in generation.iterdir() if _FOLDER.fullmatch(path.name)), key=_span)
    current: list[Path] = []
    for path in sorted(paths, key=lambda path: (_span(path)[0], -_span(path)[1])):
        if not current or _span(path)[0] > _span(current[-1])[1]:
            current.append(path)
    expected = 1
    for path in current:
        first, last = _span(path)
        if first != expected:
            raise IndexFolderError(
                f"{generation} lacks the segment of batch {expected}. Restore the folder from a copy, or start a new "
                "index."
            )
        expected = last + 1
    return current


def remove_leftovers(generation: Path) -> None:
    """Remove what was being written when a process died, and segments that a merged one replaces."""
    current = set(folders(generation))
    for path in generation.iterdir():
        if path.suffix == PART or (_FOLDER.fullmatch(path.name) and path not in current):
            shutil.rmtree(path)


def _span(folder: Path) -> tuple[int, int]:
    _, first, last = folder.name.split("-")
    return int(first), int(last)


def segments_to_merge(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The last segments, if at least MERGE_COUNT of them should become one: each is less than twice as large as all
    that follow it. So each row is written only a few times more, however many batches are added."""
    count, rows = 0, 0
    for segment in reversed(segments):
        if count and segment.record.rows >= 2 * max(rows, 1):
            break
        count, rows = count + 1, rows + segment.record.rows
    return segments[len(segments) - count :] if count >= MERGE_COUNT else ()


def merge(generation: Path, segments: Sequence[Segment]) -> Path:
    """Write consecutive segments as one, under the same row numbers. The old ones stay, as leftovers."""
    group_labels: list[int | str] = []
    batches: list[BatchRecord] = []
    rows, size = 0, 0
    signature_files = [segment.signatures for segment in segments if segment.signatures is not None]
    for segment in segments:
        group_labels += [label + rows if isinstance(label, int) else label for label in segment.group_labels]
        batches += [shifted(batch, size) for batch in segment.record.batches]
        rows += segment.record.rows
        size += (segment.path / ANSWERS).stat().st_size
    content = Content(
        first_row=segments[0].record.first_row,
        dimension=segments[0].vectors.shape[1],
        names=list(chain.from_iterable(segment.names for segment in segments)),
        blocks=chain.from_iterable(segment.blocks() for segment in segments),
        groups=np.concatenate([segment.groups for segment in segments]),
        group_labels=group_labels,
        replaced=np.concatenate([segment.replaced for segment in segments]),
        batches=tuple(batches),
        answers=chain.from_iterable(segment.answer_bytes() for segment in segments),
        signatures=chain.from_iterable(signature_files) if signature_files else None,
    )
    return write(generation, (segments[0].span[0], segments[-1].span[1]), content)


def shifted(batch: BatchRecord, by: int) -> BatchRecord:
    """The record of a batch whose answers moved by so many bytes."""
    return BatchRecord(id=batch.id, start=batch.start + by, stop=batch.stop + by)
