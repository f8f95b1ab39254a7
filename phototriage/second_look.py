"""How much a pair's agreement in layout adds to the cosine of its embeddings."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Float = TypeVar("Float", np.float32, np.float64)


class SecondLook(BaseModel):
    """similarity = cosine + share · (1 − cosine), where `share` goes from 0 at an agreement of `floor` to `weight` at
    an agreement of 1. So it brings pairs of one layout nearer to 1, and leaves all others as they are.

    The defaults were chosen on validation photos of the shipped embedder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor: float = Field(default=0.7, ge=0, lt=1)
    weight: float = Field(default=0.4, gt=0, le=1)

    def similarity(self, cosine: NDArray[Float], agreement: NDArray[Float]) -> NDArray[Float]:
        """From cosines and `layout.agreement` of the same pairs, of any shape."""
        share = self.weight * np.clip((agreement - self.floor) / (1 - self.floor), 0, 1)
        found: NDArray[Float] = cosine + share * (1 - cosine)
        return found
