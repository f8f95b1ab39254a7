"""The settings of FeatOut: what it removes from an image, given a map of the pixels that the model relies on."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FeatOutConfig(BaseModel):
    """One configuration for training and serving, stored in the model's manifest.

    variant `multi`: `patches` disks, whose centres are outside each other's exclusion disks; each one's radius and
    strength grow with the map's intensity at its centre. `single`: one square of full strength around the maximum.
    Shares are of the image's area, so they are valid for every size and number of patches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Literal["single", "multi"] = "multi"
    patches: int = Field(default=5, ge=1, le=64)
    exclusion_share: float = Field(default=0.10, gt=0, le=1)
    removal_share: float = Field(default=0.35, gt=0, le=1)
    square_share: float = Field(default=81 / 784, gt=0, le=1)  # the original's 9×9 square of 28×28
    fill: Literal["blur", "mean", "black"] = "blur"
    blur_share: float = Field(default=5 / 28, gt=0, le=1)  # box width per image side; the original's 5 of 28
