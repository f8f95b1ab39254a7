"""Segments of an index: written, merged, left over, damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phototriage.common.errors import IndexFolderError
from phototriage.index import segment as index_segment
from phototriage.index.segment import BatchRecord, Content, Segment


def write(
    place: Path, number: int, first_row: int, rows: int, replaced: tuple[int, ...] = (), signed: bool = False
) -> Segment:
    """One batch of that number; its answers are its own number, twice."""
    answer = json.dumps([number]).encode() + b"\n"
    content = Content(
        first_row=first_row,
        dimension=2,
        names=[f"{number} {place}" for place in range(rows)],
        blocks=[np.full((rows, 2), number, np.float32)],
        groups=np.arange(first_row, first_row + rows),
        group_labels=[*range(rows - 1), f"{number} other"] if rows else [],
        replaced=np.array(replaced, np.int64),
        batches=(BatchRecord(id=str(number), start=0, stop=2 * len(answer)),),
        answers=[answer, answer],
        signatures=[f"signature {number} {place}".encode() for place in range(rows)] if signed else None,
    )
    return index_segment.read(index_segment.write(place, (number, number), content))


def test_merged_segments_hold_all_of_both_under_the_same_numbers(tmp_path: Path) -> None:
    segments = [write(tmp_path, 1, 0, 3), write(tmp_path, 2, 3, 0), write(tmp_path, 3, 3, 2, (1,))]
    merged = index_segment.read(index_segment.merge(tmp_path, segments))
    assert merged.span == (1, 3)
    assert merged.names == ["1 0", "1 1", "1 2", "3 0", "3 1"]
    assert merged.vectors[:, 0].tolist() == [1, 1, 1, 3, 3]
    assert merged.groups.tolist() == [0, 1, 2, 3, 4]
    assert merged.group_labels == [0, 1, "1 other", 3, "3 other"]
    assert merged.replaced.tolist() == [1]
    for number in (1, 2, 3):
        assert merged.answers_of(str(number)) == [[number], [number]]
    assert merged.answers_of("4") is None


def test_what_a_merged_one_has_taken_in_and_what_wasnt_finished_is_left_over(tmp_path: Path) -> None:
    segments = [write(tmp_path, number, 2 * number - 2, 2) for number in (1, 2, 3)]
    merged = index_segment.merge(tmp_path, segments[1:])
    (tmp_path / "segment-00000004-00000004.part").mkdir()
    assert index_segment.folders(tmp_path) == [segments[0].path, merged]
    index_segment.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [segments[0].path, merged]


def test_a_segment_that_is_missing_is_an_error(tmp_path: Path) -> None:
    for number in (1, 3):
        write(tmp_path, number, 0, 1)
    with pytest.raises(IndexFolderError, match="lacks the segment of batch 2"):
        index_segment.folders(tmp_path)


@pytest.mark.parametrize("name", ["vectors.npy", "names.json", "groups.npy", "answers.jsonl", "founded.json"])
def test_a_file_that_was_changed_is_an_error(tmp_path: Path, name: str) -> None:
    segment = write(tmp_path, 1, 0, 2)
    content = (segment.path / name).read_bytes()
    (segment.path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexFolderError, match=rf"{name} was changed or damaged"):
        index_segment.read(segment.path)


def test_segments_are_merged_when_there_are_several_of_like_size(tmp_path: Path) -> None:
    large = write(tmp_path, 1, 0, 100)
    small = [write(tmp_path, number, 0, 2) for number in range(2, 10)]
    assert list(index_segment.segments_to_merge([large, *small])) == small
    assert list(index_segment.segments_to_merge([large, *small[:7]])) == []
    assert list(index_segment.segments_to_merge([])) == []


def test_signatures_are_kept_beside_the_vectors_and_merged_with_them(tmp_path: Path) -> None:
    segments = [write(tmp_path, 1, 0, 2, signed=True), write(tmp_path, 2, 2, 0, signed=True)]
    assert set(segments[0].record.files) >= {"signatures.bin", "signature_ends.npy"}
    segments.append(write(tmp_path, 3, 2, 1, signed=True))
    merged = index_segment.read(index_segment.merge(tmp_path, segments))
    assert merged.signatures is not None
    assert list(merged.signatures) == [b"signature 1 0", b"signature 1 1", b"signature 3 0"]
    unsigned = [write(tmp_path / "plain", number, 2 * number - 2, 2) for number in (1, 2)]
    plain = index_segment.read(index_segment.merge(tmp_path / "plain", unsigned))
    assert plain.signatures is None
    assert not [name for name in plain.record.files if name.startswith("signature")]
