"""How a classifier's difficulty score is made of signals, what it means, and what it was fitted to."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phototriage.difficulty.signals import SIGNALS

FILE_NAME = "difficulty.npz"
LEVEL = 0.02  # log-odds for a unit of the sum, beyond the knots
FARTHEST = 10.0  # deviations from the mean: beyond, a signal says no more

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalWeight(_Part):
    """A signal is taken as (value − mean) / deviation, at most FARTHEST from 0, times `weight`."""

    mean: Number
    deviation: float = Field(gt=0, allow_inf_nan=False)
    weight: Number


class Formula(_Part):
    """Σ weighted signals + intercept is looked up among `knots`, pairs of such a sum and of log-odds, both ascending:
    linear between them, and almost level beyond them, so that no two sums have one score. Without knots the sum is the
    log-odds. The score is the probability of these."""

    weights: dict[str, SignalWeight]
    intercept: Number
    knots: tuple[tuple[Number, Number], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = sorted(set(self.weights) - set(SIGNALS))
        if unknown or not self.weights:
            raise ValueError(f"there are no signals {', '.join(unknown)}: weights are of {', '.join(SIGNALS)}")
        for one, other in pairwise(self.knots):
            if one[0] >= other[0] or one[1] >= other[1]:
                raise ValueError(f"the knots {one} and {other} don't ascend")
        return self


class ReferenceNetworks(_Part):
    """Whose mistakes the score predicts: small networks that learned a half of the train images each."""

    trunk: Literal["small_cnn"]
    size: int = Field(ge=1)  # input side in pixels
    epochs: int = Field(ge=1)
    parameters: int = Field(ge=1)
    networks: int = Field(ge=2)
    mistakes: Share  # on the images that the score was fitted on


class DifficultyConfig(_Part):
    """The score is the probability that a reference network errs."""

    autoencoder: str = Field(min_length=1)
    autoencoder_version: str = Field(min_length=1)
    formula: Formula
    doubt_boost: float = Field(ge=0)  # by how much the weight of the classifier's doubt was raised for its own mistakes
    review_from: Share  # a score
    workload: Share  # the share of the images fitted on that have that score or more
    reference: ReferenceNetworks
    data: str = Field(pattern=r"^[^/\\]+$")  # base name of the set that it was fitted on, never a path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    group_by: str | None  # how its images were grouped before they were split
    images: int = Field(ge=2)  # that it was fitted on, and that percentiles refer to: no model learned from them
