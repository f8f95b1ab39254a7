"""How a classifier's difficulty score is made of signals, what it means, and what it was fitted to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phototriage.signals import SIGNALS

FILE_NAME = "difficulty.npz"
FARTHEST = 4.0  # deviations from the mean: beyond, a signal says no more

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalWeight(_Part):
    """A signal is taken as (value − mean) / deviation, at most FARTHEST from 0, times `weight`."""

    mean: Number
    deviation: float = Field(gt=0, allow_inf_nan=False)
    weight: Number


class ReferenceNetworks(_Part):
    """Whose mistakes the score predicts: small networks that learned a half of the train images each."""

    trunk: Literal["small_cnn"]
    size: int = Field(ge=1)  # input side in pixels
    epochs: int = Field(ge=1)
    parameters: int = Field(ge=1)
    networks: int = Field(ge=2)
    mistakes: Share  # on the images that the score was fitted on


class DifficultyRule(_Part):
    """score = 1 / (1 + exp(−(intercept + Σ weighted signals))): the probability that a reference network errs."""

    autoencoder: str = Field(min_length=1)
    autoencoder_version: str = Field(min_length=1)
    weights: dict[str, SignalWeight]
    intercept: Number
    review_from: Share  # a score
    workload: Share  # the share of the images fitted on that have that score or more
    reference: ReferenceNetworks
    data: str = Field(pattern=r"^[^/\\]+$")  # base name of the set that it was fitted on, never a path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    images: int = Field(ge=2)  # that it was fitted on, and that percentiles refer to: held out from all models

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.weights) - set(SIGNALS))
        if unknown or not self.weights:
            raise ValueError(f"there are no signals {', '.join(unknown)}: weights are of {', '.join(SIGNALS)}")
        return self
