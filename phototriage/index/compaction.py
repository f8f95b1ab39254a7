"""All segments of an index as one, without dead rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from phototriage.index.groups import Groups
from phototriage.index.rows import BLOCK, Rows
from phototriage.index.segment import ANSWERS, BatchRecord, Content, Segment, shifted

Floats = NDArray[np.float32]


def compacted(rows: Rows, groups: Groups, segments: Sequence[Segment]) -> Content:
    """The living rows, renumbered in their order. Groups keep their numbers and labels, batches their answers."""
    living = np.setdiff1d(np.arange(len(rows)), np.fromiter(rows.died_at, np.int64, len(rows.died_at)))
    names = [rows.names[row] for row in living.tolist()]
    group_of = np.array(groups.group_of, np.int64)[living]
    first_member = {group: place for place, group in reversed(list(enumerate(group_of.tolist())))}
    group_labels: list[int | str] = []
    for group, label in enumerate(groups.labels):
        place = first_member.get(group)
        group_labels.append(place if place is not None and names[place] == label else label)
    return Content(
        first_row=0,
        dimension=rows.dimension,
        names=names,
        blocks=_blocks(rows, living),
        groups=group_of,
        group_labels=group_labels,
        replaced=np.empty(0, np.int64),
        batches=tuple(_batches(segments)),
        answers=chain.from_iterable(segment.answer_bytes() for segment in segments),
        signatures=map(rows.signature, living.tolist()) if rows.is_signed else None,
    )


def _blocks(rows: Rows, living: NDArray[np.int64]) -> Iterator[Floats]:
    for start in range(0, len(living), BLOCK):
        yield rows.gather(living[start : start + BLOCK])


def _batches(segments: Sequence[Segment]) -> Iterator[BatchRecord]:
    size = 0
    for segment in segments:
        for batch in segment.record.batches:
            yield shifted(batch, size)
        size += (segment.path / ANSWERS).stat().st_size
