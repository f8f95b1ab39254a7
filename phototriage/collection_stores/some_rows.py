"""Some of a collection's rows, such as those with a tag, to be searched as if there were no others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from phototriage.collection_stores.vector_file import BLOCK, VectorFile
from phototriage.collections.store import Rows


class SomeRows:
    """Some of the rows, numbered anew, to be searched."""

    def __init__(self, vectors: VectorFile, rows: Rows) -> None:
        self._vectors, self._rows = vectors, rows

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self._vectors.gather(self._rows[rows])

    def blocks(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for low in range(start, stop, BLOCK):
            yield low, self._vectors.gather(self._rows[low : min(low + BLOCK, stop)])

    def visible(self, rows: Rows, limits: Rows) -> NDArray[np.bool_]:
        """All are, but for those that have died since."""
        return self._vectors.visible(self._rows[rows], np.full(len(rows), len(self._vectors)))
