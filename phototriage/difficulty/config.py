"""The configuration of a classifier's difficulty score: its formula, its threshold, and what it was fitted on."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phototriage.difficulty.depths import DEPTH_SIGNALS
from phototriage.difficulty.signals import SIGNALS

FILE_NAME = "difficulty.npz"
METRIC_PREFIX = "difficulty: "  # of its figures among a model's
OUTER_SLOPE = 0.02  # log-odds for a unit of the sum, beyond the knots
MAX_DEVIATIONS = 10.0  # from the mean, to which a signal is clipped

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalWeight(_Part):
    """A signal counts as (value − mean) / deviation, clipped to ±MAX_DEVIATIONS, times `weight`."""

    mean: Number
    deviation: float = Field(gt=0, allow_inf_nan=False)
    weight: Number


class Formula(_Part):
    """Maps signals to a score: the logistic function of log-odds.

    Σ weighted signals + intercept is mapped to log-odds by `knots`, pairs of a sum and its log-odds, both ascending:
    linear between knots, and almost constant beyond them, so that different sums have different scores. Without knots
    the sum itself is the log-odds.
    """

    weights: dict[str, SignalWeight]
    intercept: Number
    knots: tuple[tuple[Number, Number], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = sorted(set(self.weights) - {*SIGNALS, *DEPTH_SIGNALS})
        if unknown or not self.weights:
            raise ValueError(
                f"there are no signals {', '.join(unknown)}: weights are of {', '.join((*SIGNALS, *DEPTH_SIGNALS))}"
            )
        for knot, next_knot in pairwise(self.knots):
            if knot[0] >= next_knot[0] or knot[1] >= next_knot[1]:
                raise ValueError(f"the knots {knot} and {next_knot} don't ascend")
        return self


class ReferenceNetworks(_Part):
    """The networks whose mistakes the score predicts: small ones, each trained on one half of the train images."""

    trunk: Literal["small_cnn"]
    size: int = Field(ge=1)  # input side in pixels
    epochs: int = Field(ge=1)
    parameters: int = Field(ge=1)
    networks: int = Field(ge=2)
    mistakes: Share  # share of mistakes on the images that the score was fitted on


class Answers(_Part):
    """Three questions about an image: is the classifier wrong (`error`), would good models of other features be wrong
    (`hard`), is it none of the classes (`foreign`)? Each formula gives a probability. `inner` and `last` name the
    tensors of the classifier's graph that signals of its features are made of."""

    inner: str = Field(min_length=1)
    last: str = Field(min_length=1)
    error: Formula
    hard: Formula
    foreign: Formula
    mistakes: int = Field(ge=0)  # of the classifier, on the images that `error` was calibrated on
    replica_mistakes: int = Field(default=0, ge=0)  # of its replicas, which `error` was fitted to as well
    judges: int = Field(ge=0)  # models whose mistakes `hard` was fitted to
    hard_share: Share  # of mistakes that they make
    foreign_images: int = Field(ge=1)  # that `foreign` was fitted on
    foreign_share: float = Field(gt=0, lt=1)  # that is taken for their share among all images


class DifficultyConfig(_Part):
    """The score is the probability that the answer can't be trusted, 1 − (1 − error) (1 − foreign) of `answers`; or,
    where there are none, that a reference network makes a mistake, by `formula`. An autoencoder is part of it where its
    signals are: always with a formula."""

    autoencoder: str | None = Field(default=None, min_length=1)
    autoencoder_version: str | None = Field(default=None, min_length=1)
    formula: Formula | None = None
    doubt_boost: float = Field(default=0.0, ge=0)  # added to the weight of the classifier's doubt, for its own mistakes
    review_from: Share  # the score from which on an image needs review
    workload: Share  # share of the images that the score was fitted on and that need review
    reference: ReferenceNetworks | None = None  # whose mistakes `formula` predicts
    data: str = Field(pattern=r"^[^/\\]+$")  # base name of the set that it was fitted on, never a path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    group_by: str | None  # how its images were grouped before they were split
    images: int = Field(ge=2)  # held-out ones, that it was fitted on and that percentiles refer to
    answers: Answers | None = None  # by features at two depths, where they were fitted

    @model_validator(mode="after")
    def _complete(self) -> Self:
        parts = (self.autoencoder, self.autoencoder_version, self.formula, self.reference)
        if len({part is None for part in parts}) > 1:
            raise ValueError("autoencoder, autoencoder_version, formula and reference belong together")
        if self.formula is None and self.answers is None:
            raise ValueError("neither a formula nor answers: there is nothing to score by")
        return self
