"""What an image has in common with others that are not copies of it, and similarity beyond that: score normalisation,
as in SSCD (arXiv 2202.10261).

Two bedrooms or two pages resemble each other since all do. A pair is likely one of copies where its two resemble each
other more than either resembles the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Similarities = NDArray[np.float64]
Indices = NDArray[np.int64]

# Ranks among an image's neighbours in its own collection, from 0. The first ones may be copies of it, up to FIRST of
# them: nearer ranks tell more where there is one copy, and lose half of the pairs where there are five.
FIRST, LAST = 20, 40


def in_common(similarity: Similarities, first: int = FIRST, last: int = LAST) -> Similarities:
    """From the similarities (N, K) of rows to their nearest, descending: the mean of each row from rank `first` to
    before `last`, (N,). 0 where there are none, as in a small collection, so that there similarity alone counts.

    Among neighbours in a background set, which holds no copies, `first` may be 0.
    """
    ranks = similarity[:, first:last]
    return ranks.mean(axis=1) if ranks.shape[1] else np.zeros(len(ranks))


def beyond_common(similarity: Similarities, common: Similarities, first: Indices, second: Indices) -> Similarities:
    """The similarity of each pair (P,) of the rows `first` and `second` (P,), less the mean of what its two have in
    common with others, `common` (N,)."""
    beyond: Similarities = similarity - (common[first] + common[second]) / 2
    return beyond
