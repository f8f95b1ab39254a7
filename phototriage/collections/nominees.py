"""Which of a collection's rows a photo is compared with closely, whatever keeps them."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from phototriage.collections.store import Known
from phototriage.index.search import NeighbourRows
from phototriage.index.verified_rows import NEIGHBOURS

MOST_APART = 2 * NEIGHBOURS  # neighbours that are looked at for what they have in common


def one_of_each_group(best: NeighbourRows, known: Mapping[int, Known], marked: Container[str]) -> NeighbourRows:
    """Of each group the most similar row, and none that is marked: many copies of one photo are no background, and they
    would hide others. best: the most similar first; known: by row, those that are there still."""
    seen: set[int] = set()
    kept = []
    for place, row in enumerate(best.rows.tolist()):
        if row in known and known[row].id not in marked and known[row].group not in seen:
            seen.add(known[row].group)
            kept.append(place)
    kept.sort(key=lambda place: int(best.rows[place]))
    places = np.array(kept, np.int64)
    return NeighbourRows(best.rows[places], best.similarity[places])
