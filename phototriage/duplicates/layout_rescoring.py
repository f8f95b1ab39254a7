"""Layout re-scoring: a pair's agreement in layout corrects the cosine of its embeddings."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Float = TypeVar("Float", np.float32, np.float64)


class LayoutRescoring(BaseModel):
    """similarity = cosine + share · (1 − cosine) − doubt · suspicion, at least −1.

    `share` rises from 0 at an agreement of `floor` to `weight` at 1: two pictures of the same layout are nearly always
    copies. `suspicion` rises from 0 at an agreement of `doubt_from` to 1 at `doubt_most`, and falls to 0 at 1: a copy
    has either the same layout or, if it is cropped or turned, a very different one. Two pictures that agree only partly
    are more often different pictures that resemble each other, so they need a higher cosine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["luma_cosines_8"] = "luma_cosines_8"  # phototriage/duplicates/layout.py
    floor: float = Field(default=0.7, ge=0, lt=1)
    weight: float = Field(default=0.4, gt=0, le=1)
    doubt: float = Field(default=0, ge=0, le=1)
    doubt_from: float = Field(default=0.2, ge=0, lt=1)
    doubt_most: float = Field(default=0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> Self:
        if self.doubt_from >= self.doubt_most:
            raise ValueError(f"doubt_from {self.doubt_from} must be below doubt_most {self.doubt_most}")
        return self

    @property
    def steepness(self) -> float:
        """An upper bound of the similarity's derivative with respect to the cosine and to the agreement."""
        side = min(self.doubt_most - self.doubt_from, 1 - self.doubt_most)
        return max(1.0, 2 * self.weight / (1 - self.floor) + self.doubt / side)

    def similarity(self, cosine: NDArray[Float], agreement: NDArray[Float]) -> NDArray[Float]:
        """From the cosines and the `layout.agreement` of the same pairs: arrays of one shape, which the result has
        too."""
        share = self.weight * np.clip((agreement - self.floor) / (1 - self.floor), 0, 1)
        similarity: NDArray[Float] = cosine + share * (1 - cosine)
        if self.doubt:
            rise = (agreement - self.doubt_from) / (self.doubt_most - self.doubt_from)
            fall = (1 - agreement) / (1 - self.doubt_most)
            similarity = np.maximum(similarity - self.doubt * np.clip(np.minimum(rise, fall), 0, 1), -1)
        return similarity


# Such a field in files and answers keeps the first name that it had there.
RESCORING_FIELD: Any = Field(
    default=None,
    validation_alias=AliasChoices("second_look", "layout_rescoring"),
    serialization_alias="second_look",
)
