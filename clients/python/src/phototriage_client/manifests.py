"""What GET /v1/models tells of a model: how it is fed, what it answers, where it comes from.

Fields that a newer server adds are passed over.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class InputConfig(_Part):
    """The rule by which upright pixels become the model's input."""

    height: int
    width: int
    colour: Literal["rgb", "grey"]
    resize: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"]
    antialias: Literal[True]
    aspect: Literal["stretch", "crop", "pad"]


class Output(_Part):
    """An output of the model's graph; a string in its shape is a free dimension."""

    role: Literal["logits", "gradient", "embedding", "latent", "reconstruction_error"]
    name: str
    shape: tuple[int | str, ...]


class FeatOutConfig(_Part):
    """What FeatOut removes from an image; shares are of its area."""

    variant: Literal["single", "multi"] = "multi"
    patches: int = 5
    exclusion_share: float = 0.10
    removal_share: float = 0.35
    square_share: float = 81 / 784
    fill: Literal["blur", "mean", "black"] = "blur"
    blur_share: float = 5 / 28


class SignalWeight(_Part):
    mean: float
    deviation: float
    weight: float


class Formula(_Part):
    """How signals make a difficulty score."""

    weights: dict[str, SignalWeight]
    intercept: float
    knots: tuple[tuple[float, float], ...] = ()


class ReferenceNetworks(_Part):
    """Whose mistakes the difficulty score predicts."""

    trunk: Literal["small_cnn"]
    size: int
    epochs: int
    parameters: int
    networks: int
    mistakes: float


class Answers(_Part):
    """How three probabilities are made of signals of features, and what they were fitted to."""

    inner: str
    last: str
    error: Formula
    hard: Formula
    foreign: Formula
    mistakes: int
    replica_mistakes: int = 0
    judges: int
    hard_share: float
    foreign_images: int
    foreign_share: float


class DifficultyConfig(_Part):
    """How a classifier's difficulty score is made, and what it was fitted to."""

    autoencoder: str | None = None
    autoencoder_version: str | None = None
    formula: Formula | None = None
    doubt_boost: float = 0.0
    review_from: float
    workload: float
    reference: ReferenceNetworks | None = None
    data: str
    sha256: str
    group_by: str | None
    images: int
    answers: Answers | None = None


class LayoutRescoring(_Part):
    """What two layouts' agreement does to the cosine of their embeddings; `Comparer` applies it."""

    layout: Literal["luma_cosines_8"] = "luma_cosines_8"
    floor: float = 0.7
    weight: float = 0.4
    doubt: float = 0
    doubt_from: float = 0.2
    doubt_most: float = 0.95


class Measured(_Part):
    """A measured share and its 95 % interval, (low, high)."""

    value: float
    interval: tuple[float, float]


class Tuning(_Part):
    """How a threshold was chosen, and what came out on held-out folds."""

    data: str
    sha256: str
    pairs: int
    duplicates: int
    folds: int
    aim: str
    precision: Measured
    recall: Measured
    f1: Measured


class Decision(_Part):
    """From which similarity on two images are duplicates, and how probable that is: 1 / (1 + exp(−(slope · similarity
    + intercept)))."""

    threshold: float
    slope: float
    intercept: float
    prior: float
    second_look: LayoutRescoring | None = None
    tuning: Tuning


class PairKind(_Part):
    """Held-out pairs of one kind: the share of copies that verification misses, and that of others which it calls
    duplicates."""

    kind: str
    copies: int
    others: int
    missed: float
    false: float


class VerificationConfig(_Part):
    """From which probability on a verified pair are duplicates, what that was fitted to, and how good it is."""

    threshold: float
    prior: float
    features: tuple[str, ...]
    pairs: int
    data: str
    sha256: str
    command: str | None = None
    calibration_error: float
    held_out: tuple[PairKind, ...]


class Metric(_Part):
    """A measured figure and its 95 % interval."""

    name: str
    set: str
    split: str
    n: int
    value: float
    interval: tuple[float, float] | None = None


class Data(_Part):
    """What the model was trained on."""

    name: str
    sha256: str
    licence: str
    images: dict[str, int]


class Training(_Part):
    """How to make the model again."""

    command: str
    settings: dict[str, Any]
    random_seed: int
    packages: dict[str, str]
    hardware: str


class ModelInfo(_Part):
    """A served model."""

    name: str
    version: str
    kind: str
    default: bool
    description: str
    files: dict[str, str]
    input: InputConfig
    outputs: tuple[Output, ...]
    labels: tuple[str, ...]
    featout: FeatOutConfig | None
    difficulty: DifficultyConfig | None
    decision: Decision | None
    verification: VerificationConfig | None
    same_embeddings_as: tuple[str, ...]
    metrics: tuple[Metric, ...]
    data: Data
    training: Training
