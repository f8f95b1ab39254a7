"""How upright pixels become a model's input. It is stored in the model's manifest; code has no defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Colour = Literal["rgb", "grey"]
Resize = Literal["box", "bilinear", "hamming", "bicubic", "lanczos"]
Aspect = Literal["stretch", "crop", "pad"]


class InputConfig(BaseModel):
    """Size, filter, aspect policy and colours of a model's `uint8 (N, height, width, channels)` input.

    aspect: `stretch` resizes the whole image to the input, `crop` takes the largest centred window of the
    input's proportions, `pad` fits the whole image in and fills the rest with white.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(ge=8, le=2048)
    width: int = Field(ge=8, le=2048)
    colour: Colour
    resize: Resize
    antialias: Literal[True]  # Pillow's filters widen with the reduction; a model trained without that isn't supported
    aspect: Aspect

    @property
    def channels(self) -> int:
        return 3 if self.colour == "rgb" else 1
