"""What a model's verification was fitted to, and how good it is: the part of a manifest beside its file of trees."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FILE_NAME = "verification.npz"

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PairKind(_Part):
    """Held-out pairs of one kind: how many are copies and how many not, the share of copies that is missed, and the
    share of others that is called duplicates."""

    kind: str
    copies: int = Field(ge=0)
    others: int = Field(ge=0)
    missed: Share
    false: Share


class VerificationConfig(_Part):
    """How pairs of photos are verified. The probability is of being duplicates among pairs of which a share `prior` is,
    as among those that it was fitted to; from `threshold` on they are."""

    threshold: float = Field(gt=0, lt=1)
    prior: float = Field(gt=0, lt=1)
    features: tuple[str, ...]  # of the evidence, in the order in which the trees number them
    pairs: int = Field(ge=2)  # that it was fitted to
    data: str = Field(pattern=r"^[^/\\]+$")  # base name of the photos, never a path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    command: str | None = None  # that fitted it; of before there was this field, none
    calibration_error: Share  # on held-out pairs: mean difference of probability and share, in ten groups
    held_out: tuple[PairKind, ...]
