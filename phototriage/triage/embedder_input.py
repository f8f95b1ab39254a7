"""An image file as an embedder takes it, for those who embed many and need no other answer."""

from __future__ import annotations

from typing import NamedTuple

from phototriage.common.metrics import timed
from phototriage.images.pixels import ImageLimits, decode_for, resize
from phototriage.models.embedder import Embedder
from phototriage.runtime.sessions import Images
from phototriage.verification import signature


class EmbedderInput(NamedTuple):
    """What is kept of an image file to embed it: the model's input, and its signature if the model verifies."""

    pixels: Images
    signature: bytes | None


def embedder_input(model: Embedder, data: bytes, limits: ImageLimits) -> EmbedderInput:
    """From an image file's bytes. Raises what `images.decode` raises."""
    with timed("decode"):
        upright = decode_for(data, [model.manifest.input], limits)
        pixels = resize(upright, model.manifest.input).pixels
        return EmbedderInput(pixels, None if model.verifier is None else signature.encode(upright))
