"""Requests' queries and answers of the API. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phototriage.difficulty.config import DifficultyConfig
from phototriage.images.headers import Frame
from phototriage.images.input_config import InputConfig
from phototriage.model_folder.manifest import Data, Decision, Metric, Output, Training
from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.verification.config import VerificationConfig

Method = Literal["gradient", "featout"]
Part = Literal["classify", "difficulty", "saliency", "embed"]


UsedFrame = Annotated[
    Frame | None,
    Field(
        description="Only of an animation: which of its pictures was used. `first`: the first frame. `default`: the "
        "picture for programs that show no animations, which need not be a frame (APNG, AVIF and HEIC)"
    ),
]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelQuery(Query):
    model: str | None = Field(default=None, description="Name of a model; without it the default of its kind answers")


class ClassifyQuery(ModelQuery):
    top_k: int | None = Field(default=None, ge=1, description="How many probabilities to list; all without it")


class SaliencyQuery(ModelQuery):
    method: Method = Field(
        default="gradient", description="`gradient`: what the model leans on. `featout`: what FeatOut would remove"
    )
    target: str | None = Field(default=None, description="Label to explain; without it the predicted one")


class DifficultyQuery(ModelQuery):
    label: str | None = Field(
        default=None, description="What the caller takes the image for: adds the reason `likely_mislabelled`"
    )


class TriageQuery(Query):
    include: tuple[Part, ...] | None = Field(
        default=None,
        min_length=1,
        description="Parts of the answer, separated by commas; without it classify, difficulty and embed, as far as "
        "there are models for them",
    )
    classifier: str | None = Field(default=None, description="Name of a classifier; without it the default one")
    embedder: str | None = Field(default=None, description="Name of an embedder; without it the default one")
    top_k: int | None = Field(default=None, ge=1, description="Of `classify`: how many probabilities to list")
    label: str | None = Field(default=None, description="Of `difficulty`: what the caller takes the image for")
    method: Method = Field(default="gradient", description="Of `saliency`")
    target: str | None = Field(default=None, description="Of `saliency`: label to explain; else the predicted one")

    @field_validator("include", mode="before")
    @classmethod
    def _split_parts(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("include")
    @classmethod
    def _each_once(cls, value: tuple[Part, ...] | None) -> tuple[Part, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a part is named twice")
        return value


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelName(Answer):
    """Which model answered. A changed file, label or threshold makes a new version."""

    name: str
    version: str


class LabelProbability(Answer):
    label: str
    probability: float = Field(ge=0, le=1)


class ClassifyResponse(Answer):
    model: ModelName
    label: str = Field(description="The most probable label")
    confidence: float = Field(ge=0, le=1, description="Its probability")
    probabilities: list[LabelProbability] = Field(description="The most probable first")
    frame: UsedFrame = None


class DifficultyReason(Answer):
    """Why an image is hard: a kind of reason that it is in the hardest tenth of held-out images by, or a label that the
    classifier doesn't share."""

    kind: Literal["ambiguous", "unusual", "low_quality", "likely_mislabelled"]
    signal: str = Field(description="What says so the most: a component, or the probability of all other labels")
    value: float = Field(description="Of that signal")
    percentile: float = Field(ge=0, le=100, description="Of the kind, among held-out images")


class DifficultyResponse(Answer):
    model: ModelName = Field(description="The classifier; its manifest names the autoencoder, if there is one")
    score: float = Field(
        ge=0,
        le=1,
        description="Probability that the answer can't be trusted, where the three below are there; else that a "
        "reference network that hasn't seen the image errs",
    )
    percentile: float = Field(ge=0, le=100, description="Of the score, among held-out images")
    review: bool = Field(description="Whether it is among the hardest, of which the manifest says how many")
    reasons: list[DifficultyReason] = Field(description="The strongest first; none for an ordinary image")
    components: dict[str, float] = Field(description="Every signal, the higher the harder")
    p_error: float | None = Field(default=None, ge=0, le=1, description="Probability that the classifier is wrong")
    p_hard: float | None = Field(default=None, ge=0, le=1, description="That good models of other features are wrong")
    p_foreign: float | None = Field(default=None, ge=0, le=1, description="That the image is of none of the labels")
    frame: UsedFrame = None


class SaliencyPatch(Answer):
    """A part that FeatOut removes, in pixels of the upright image."""

    row: float
    column: float
    radius: float = Field(ge=0)
    intensity: float = Field(ge=0, le=1, description="Of the smoothed map at the centre, over its maximum")


class SaliencySummary(Answer):
    """How the smoothed gradient is spread over the model's input."""

    entropy: float = Field(ge=0, le=1, description="Of the map as a distribution, over that of an even one")
    gini: float = Field(ge=0, le=1, description="0 for an even map, 1 for a single pixel")
    top_tenth_share: float = Field(ge=0, le=1, description="What the strongest tenth of the pixels holds")


class SaliencyResponse(Answer):
    model: ModelName
    target: str
    method: Method
    width: int = Field(ge=1, description="Of the upright image and of the mask, in pixels")
    height: int = Field(ge=1, description="Of the upright image and of the mask, in pixels")
    mask_png: str = Field(description="8-bit grey PNG in base64", json_schema_extra={"contentEncoding": "base64"})
    patches: list[SaliencyPatch] = Field(description="What FeatOut would remove, the strongest first")
    summary: SaliencySummary
    trained_with_featout: bool | None = Field(
        default=None, description="With method=featout only: whether its settings are those that the model trained with"
    )
    frame: UsedFrame = None


class Embedding(Answer):
    """An image as a point on the unit sphere, by one version of one model; no other can compare it."""

    model: str
    version: str
    dimension: int = Field(ge=1)
    values: str = Field(
        description="Little-endian float32 values in base64", json_schema_extra={"contentEncoding": "base64"}
    )
    signature: str | None = Field(
        default=None,
        description="A small grey copy of the photo, in base64, by which /v1/duplicates verifies that two photos are "
        "one; without it they are compared by the values alone",
        json_schema_extra={"contentEncoding": "base64"},
    )

    @field_validator("dimension", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        """1.0 is an integer in JSON Schema, and what some writers of JSON make of 1."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class EmbedResponse(Answer):
    model: ModelName
    embedding: Embedding = Field(description="To be sent to /v1/duplicates in place of the image")
    frame: UsedFrame = None


class TriageResponse(Answer):
    """The parts that were asked for, from one decode."""

    classify: ClassifyResponse | None = None
    difficulty: DifficultyResponse | None = None
    saliency: SaliencyResponse | None = None
    embed: EmbedResponse | None = None


class ModelInfo(Answer):
    """A manifest, without its file format's own fields."""

    name: str
    version: str
    kind: str
    default: bool = Field(description="Whether it answers where no model is named")
    description: str
    files: dict[str, str] = Field(description="SHA-256 by file name")
    input: InputConfig
    outputs: tuple[Output, ...]
    labels: tuple[str, ...]
    featout: FeatOutConfig | None
    difficulty: DifficultyConfig | None = Field(description="How hard images are told, and what that was fitted to")
    decision: Decision | None = Field(description="When two images are duplicates, and how that was tuned")
    verification: VerificationConfig | None = Field(
        description="How it is verified that two images are duplicates, and what that was fitted to"
    )
    same_embeddings_as: tuple[str, ...] = Field(description="Other versions, whose embeddings are the same values")
    metrics: tuple[Metric, ...]
    data: Data
    training: Training


class ModelsResponse(Answer):
    models: list[ModelInfo]


class TakenUp(Answer):
    """A model that is served from now on."""

    name: str
    version: str
    replaced: str | None = Field(description="The version that it takes the place of; null for a new model")


class Refused(Answer):
    """A model folder that isn't served; if it has an older version, that one is."""

    name: str | None = Field(description="null where the models don't fit together, and all old ones stay")
    detail: str


class ReloadResponse(Answer):
    taken_up: list[TakenUp]
    removed: list[str] = Field(description="Models whose folder is gone")
    refused: list[Refused]
    models: list[ModelName] = Field(description="All that are served now")


class Health(Answer):
    status: Literal["alive", "ready"]


class Problem(Answer):
    """RFC 9457. `code` is stable, `detail` names the value, the limit and the remedy."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(examples=["malformed_request", "too_large", "undecodable_image", "overloaded"])
    detail: str


def schema_of(models: list[type[BaseModel]]) -> dict[str, Any]:
    """JSON Schemas of the models and of all that they hold, by name, with references as OpenAPI has them."""
    from pydantic.json_schema import models_json_schema

    _, document = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = document["$defs"]
    return definitions
