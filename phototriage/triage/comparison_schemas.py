"""The comparison of two images: its query and its answer. Of the OpenAPI document, as `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phototriage.triage.schemas import Answer, ModelName, ModelQuery, Query, UsedFrame
from phototriage.verification.verifier import PairDecision


class BoundsQuery(Query):
    """From where on two images are duplicates, in place of what was tuned."""

    threshold: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Similarity from which on two images are duplicates: it alone decides then, nothing is verified",
    )
    min_probability: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Probability from which on a verified pair are duplicates; without it the tuned one",
    )


class DuplicatesQuery(BoundsQuery, ModelQuery):
    explain: bool = Field(
        default=False,
        description="Whether to show both images side by side with what they have in common: as PNG if Accept prefers "
        "that, else in `explanation`",
    )


class SaliencyMask(Answer):
    """What in one image the embeddings' cosine hangs on: the gradient of it, as /v1/saliency shows a label's."""

    mask_png: str = Field(description="8-bit grey PNG in base64", json_schema_extra={"contentEncoding": "base64"})
    width: int = Field(ge=1, description="Of the upright image and of the mask, in pixels")
    height: int = Field(ge=1, description="Of the upright image and of the mask, in pixels")


class Explanation(Answer):
    picture_png: str | None = Field(
        description="Both images side by side, with matched points and the parts that they have in common, as PNG in "
        "base64; an image that came as an embedding is drawn from its signature, grey; null if it has none",
        json_schema_extra={"contentEncoding": "base64"},
    )
    a: SaliencyMask | None = Field(description="null where an embedding was sent")
    b: SaliencyMask | None = Field(description="null where an embedding was sent")


Point = Annotated[tuple[float, float], Field(description="(row, column)")]


class DuplicateEvidence(Answer):
    """What laying image A over image B showed. Places are (row, column) in pixels of the upright image, counted from
    its top left corner."""

    words: str = Field(description="What was done to A to make B, such as `mirrored, resized to 52%`")
    matched_points: int = Field(
        ge=0, description="Points of both that one transform brings together; 0 where they were laid over as a whole"
    )
    scale: float = Field(description="What lengths in A are multiplied by to give those in B")
    turn: float = Field(description="By how many degrees A is turned clockwise, in (-180, 180]")
    mirrored: bool = Field(description="Whether A is mirrored, left for right, before it is turned")
    affine: tuple[tuple[float, float, float], tuple[float, float, float]] = Field(
        description="(row, column, 1) in A to (row, column) in B"
    )
    share_of_a: float = Field(ge=0, le=1, description="How much of A's area lies in B")
    share_of_b: float = Field(ge=0, le=1, description="How much of B's area lies in A")
    region_of_a: list[Point] = Field(description="Corners of the part of A that lies in B")
    region_of_b: list[Point] = Field(description="The same corners in B")
    correlation: float = Field(ge=-1, le=1, description="Median of the local correlations, once A is laid over B")
    disagreement: float = Field(ge=0, le=1, description="Share of what shows anything where the two don't agree")
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
        description="Whether one image was laid over the other (or found too plain for it), which decides then; else "
        "the similarity decides alone: where a threshold of it was asked for, or an embedding came without a "
        "signature, or the model can't verify"
    )
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings, raised where their layouts agree")
    threshold: float = Field(ge=-1, le=1, description="Of the similarity, where it decides alone")
    threshold_source: Literal["tuned", "request"]
    probability: float = Field(
        ge=0, le=1, description="Of being duplicates, among pairs of which the model's prior share are"
    )
    min_probability: float | None = Field(
        default=None, description="From which on a verified pair are duplicates; only where it was verified"
    )
    margin: float = Field(description="The similarity less the threshold")
    evidence: DuplicateEvidence | None = Field(
        default=None, description="Only where the pair was verified, and a part of one lies in the other"
    )
    frame_a: UsedFrame = None
    frame_b: UsedFrame = None
    explanation: Explanation | None = Field(default=None, description="With explain=true only")
