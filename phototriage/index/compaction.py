"""All segments of an index as one, without the rows that count no longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from phototriage.index.groups import Groups
from phototriage.index.rows import BLOCK, Rows
from phototriage.index.segment import ANSWERS, BatchRecord, Content, Segment, moved

Floats = NDArray[np.float32]


def compacted(rows: Rows, groups: Groups, segments: Sequence[Segment]) -> Content:
    """The living rows, numbered anew in their order. Groups keep their numbers and labels, batches their answers."""
    living = np.setdiff1d(np.arange(len(rows)), np.fromiter(rows.died, np.int64, len(rows.died)))
    names = [rows.names[row] for row in living.tolist()]
    of = np.array(groups.of, np.int64)[living]
    founder = {group: place for place, group in reversed(list(enumerate(of.tolist())))}
    founded: list[int | str] = []
    for group, label in enumerate(groups.labels):
        place = founder.get(group)
        founded.append(place if place is not None and names[place] == label else label)
    return Content(
        first_row=0,
        dimension=rows.dimension,
        names=names,
        blocks=_blocks(rows, living),
        groups=of,
        founded=founded,
        replaced=np.empty(0, np.int64),
        batches=tuple(_batches(segments)),
        answers=chain.from_iterable(segment.answer_bytes() for segment in segments),
    )


def _blocks(rows: Rows, living: NDArray[np.int64]) -> Iterator[Floats]:
    for start in range(0, len(living), BLOCK):
        yield rows.gather(living[start : start + BLOCK])


def _batches(segments: Sequence[Segment]) -> Iterator[BatchRecord]:
    size = 0
    for segment in segments:
        for batch in segment.record.batches:
            yield moved(batch, size)
        size += (segment.path / ANSWERS).stat().st_size
