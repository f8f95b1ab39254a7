"""The server's answers. A test compares them with its OpenAPI document; fields that a newer server adds are passed
over."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from phototriage_client.embedding import Embedding
from phototriage_client.manifests import ModelInfo

Method = Literal["gradient", "featout"]
Part = Literal["classify", "difficulty", "saliency", "embed"]
Outcome = Literal["added", "replaced", "unchanged", "duplicate"]
PairDecision = Literal["duplicate", "not_duplicate", "too_little_content"]
UsedFrame = Annotated[
    Literal["first", "default"] | None,
    Field(
        description="Only of an animation: which of its pictures was used. `default`: the one for programs that show "
        "no animations, which need not be a frame"
    ),
]
Point = tuple[float, float]  # (row, column)


class Answer(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelName(Answer):
    """Which model answered. A changed file, label or threshold makes a new version."""

    name: str
    version: str


class LabelProbability(Answer):
    label: str
    probability: float


class ClassifyResponse(Answer):
    model: ModelName
    label: str = Field(description="The most probable label")
    confidence: float = Field(description="Its probability")
    probabilities: list[LabelProbability] = Field(description="The most probable first")
    frame: UsedFrame = None


class DifficultyReason(Answer):
    """Why an image is hard."""

    kind: Literal["ambiguous", "unusual", "low_quality", "likely_mislabelled"]
    signal: str = Field(description="What says so the most: a component, or the probability of all other labels")
    value: float = Field(description="Of that signal")
    percentile: float = Field(description="Of the kind, 0 to 100, among held-out images")


class DifficultyResponse(Answer):
    model: ModelName
    score: float = Field(
        description="Probability, 0 to 1, that the answer can't be trusted, or without `p_error` that a reference "
        "network errs"
    )
    percentile: float = Field(description="Of the score, 0 to 100, among held-out images")
    review: bool = Field(description="Whether it is among the hardest, of which the manifest says how many")
    reasons: list[DifficultyReason] = Field(description="The strongest first; none for an ordinary image")
    components: dict[str, float] = Field(description="Every signal, the higher the harder")
    p_error: float | None = Field(default=None, description="Probability that the classifier is wrong, if it tells")
    p_hard: float | None = Field(default=None, description="That good models of other features are wrong")
    p_foreign: float | None = Field(default=None, description="That the image is of none of the labels")
    frame: UsedFrame = None


class SaliencyPatch(Answer):
    """A part that FeatOut removes, in pixels of the upright image."""

    row: float
    column: float
    radius: float
    intensity: float = Field(description="Of the smoothed map at the centre, over its maximum")


class SaliencySummary(Answer):
    """How the smoothed gradient is spread over the model's input; all from 0 to 1."""

    entropy: float = Field(description="Of the map as a distribution, over that of an even one")
    gini: float = Field(description="0 for an even map, 1 for a single pixel")
    top_tenth_share: float = Field(description="What the strongest tenth of the pixels holds")


class _Mask(Answer):
    mask_png: str = Field(description="8-bit grey PNG in base64", json_schema_extra={"contentEncoding": "base64"})
    width: int = Field(description="Of the upright image and of the mask, in pixels")
    height: int = Field(description="Of the upright image and of the mask, in pixels")

    @property
    def png(self) -> bytes:
        """The mask as the content of a PNG file."""
        return base64.b64decode(self.mask_png)


class SaliencyResponse(_Mask):
    model: ModelName
    target: str
    method: Method
    patches: list[SaliencyPatch] = Field(description="What FeatOut would remove, the strongest first")
    summary: SaliencySummary
    trained_with_featout: bool | None = Field(
        default=None, description="With method=featout only: whether its settings are those that the model trained with"
    )
    frame: UsedFrame = None


class EmbedResponse(Answer):
    model: ModelName
    embedding: Embedding = Field(description="To be kept, and sent to `duplicates` in place of the image")
    frame: UsedFrame = None


class SaliencyMask(_Mask):
    """What in one image the embeddings' cosine hangs on."""


class Explanation(Answer):
    picture_png: str | None = Field(
        description="Both images side by side, with matched points and the parts that they have in common, as PNG in "
        "base64; None where an embedding without a signature was sent",
        json_schema_extra={"contentEncoding": "base64"},
    )
    a: SaliencyMask | None = Field(description="None where an embedding was sent")
    b: SaliencyMask | None = Field(description="None where an embedding was sent")

    @property
    def picture(self) -> bytes | None:
        """The picture as the content of a PNG file."""
        return None if self.picture_png is None else base64.b64decode(self.picture_png)


class DuplicateEvidence(Answer):
    """What laying image A over image B showed. Places are (row, column) in pixels of the upright image."""

    words: str = Field(description="What was done to A to make B, such as `mirrored, resized to 52%`")
    matched_points: int = Field(
        description="Points of both that one transform brings together; 0 where they were laid over as a whole"
    )
    scale: float = Field(description="What lengths in A are multiplied by to give those in B")
    turn: float = Field(description="By how many degrees A is turned clockwise, in (-180, 180]")
    mirrored: bool = Field(description="Whether A is mirrored, left for right, before it is turned")
    affine: tuple[tuple[float, float, float], tuple[float, float, float]] = Field(
        description="(row, column, 1) in A to (row, column) in B"
    )
    share_of_a: float = Field(description="How much of A's area lies in B, 0 to 1")
    share_of_b: float = Field(description="How much of B's area lies in A, 0 to 1")
    region_of_a: list[Point] = Field(description="Corners of the part of A that lies in B")
    region_of_b: list[Point] = Field(description="The same corners in B")
    correlation: float = Field(description="Median of the local correlations, once A is laid over B")
    disagreement: float = Field(description="Share of what shows anything where the two don't agree, 0 to 1")
    contrast: float = Field(description="What grey levels of A are multiplied by to give those of B")
    brightness: float = Field(description="What is added to them, of 255")


class DuplicatesResponse(Answer):
    model: ModelName
    is_duplicate: bool = Field(description="Whether `decision` is `duplicate`")
    decision: PairDecision = Field(
        description="`too_little_content`: an image is next to plain, so there is nothing to compare"
    )
    reason: str = Field(description="The decision's reason in words")
    verified: bool = Field(
        description="Whether one image was laid over the other, which decides then; else the similarity decides alone"
    )
    similarity: float = Field(description="Cosine of the two embeddings, raised where their layouts agree")
    threshold: float = Field(description="Of the similarity, where it decides alone")
    threshold_source: Literal["tuned", "request"]
    probability: float = Field(description="Of being duplicates, among pairs of which the model's prior share are")
    min_probability: float | None = Field(
        default=None, description="From which on a verified pair are duplicates; None where it was not verified"
    )
    margin: float = Field(description="The similarity less the threshold")
    evidence: DuplicateEvidence | None = Field(
        default=None, description="None where the pair was not verified, or no part of one was found in the other"
    )
    frame_a: UsedFrame = None
    frame_b: UsedFrame = None
    explanation: Explanation | None = Field(default=None, description="With explain=True only")


class CollectionMatch(Answer):
    """A photo of the collection, beside the one that was sent: that is A in `evidence` and `reason`, and this one is
    B."""

    id: str
    tags: list[str]
    group: str
    added_at: float = Field(description="Seconds since 1970, in UTC")
    similarity: float = Field(description="As of `duplicates`")
    is_duplicate: bool
    decision: PairDecision
    verified: bool = Field(description="Whether the two were compared more closely than by their embeddings")
    probability: float | None = Field(
        default=None, description="Of being duplicates; None where the two weren't worth comparing"
    )
    reason: str | None = Field(default=None, description="The decision's reason in words")
    evidence: DuplicateEvidence | None = Field(default=None, description="As of `duplicates`")


class CollectionPart(Answer):
    """What a collection says of the photo. The last four are there only where it was to be added, and say what
    AddResponse does."""

    collection: str
    model: ModelName
    is_duplicate: bool = Field(description="Whether it is a duplicate of any other photo")
    duplicates: list[CollectionMatch] = Field(
        description="Photos that it is a duplicate of, the most similar first; ten at most where it is only asked about"
    )
    id: str | None = None
    outcome: Outcome | None = None
    added: bool | None = Field(default=None, description="Whether the collection has it by this call")
    group: str | None = Field(default=None, description="The group that it is in; None if it isn't added")


class TriageResponse(Answer):
    """The parts that were asked for, from one decode."""

    classify: ClassifyResponse | None = None
    difficulty: DifficultyResponse | None = None
    saliency: SaliencyResponse | None = None
    embed: EmbedResponse | None = None
    collection: CollectionPart | None = Field(default=None, description="With `collection` only")


class ModelsResponse(Answer):
    models: list[ModelInfo]

    def default(self, kind: str) -> ModelInfo:
        """The model of that kind that answers where none is named. Raises LookupError where there is none."""
        for model in self.models:
            if model.kind == kind and model.default:
                return model
        raise LookupError(
            f"the server has no default model of kind {kind!r}; it has {[one.name for one in self.models]}"
        )


class TakenUp(Answer):
    """A model that is served from now on."""

    name: str
    version: str
    replaced: str | None = Field(description="The version that it takes the place of; None for a new model")


class Refused(Answer):
    """A model folder that isn't served; if it has an older version, that one is."""

    name: str | None = Field(description="None where the models don't fit together, and all old ones stay")
    detail: str


class ReloadResponse(Answer):
    taken_up: list[TakenUp]
    removed: list[str] = Field(description="Models whose folder is gone")
    refused: list[Refused]
    models: list[ModelName] = Field(description="All that are served now")


class Health(Answer):
    status: Literal["alive", "ready"]


class ProblemDetails(Answer):
    """RFC 9457. `code` is stable, `detail` names the value, the limit and the remedy."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


class BatchItem(Answer):
    """An image's answers, or why there are none."""

    index: int = Field(description="Place among the images sent, from 0 on")
    filename: str
    classify: ClassifyResponse | None = None
    difficulty: DifficultyResponse | None = None
    saliency: SaliencyResponse | None = None
    embed: EmbedResponse | None = None
    collection: CollectionPart | None = Field(default=None, description="With `collection` only")
    error: ProblemDetails | None = Field(default=None, description="In place of all parts")


class BatchResponse(Answer):
    results: list[BatchItem] = Field(description="In the order of the images sent")
