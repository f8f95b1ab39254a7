"""What is kept of an image for all that decide on pairs: made once, from the pixels that the service would see."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.duplicate_peers import Hash
from phototriage.images.pixels import ImageLimits, decode, resize
from phototriage.images.upright import whole
from phototriage.models.embedder import Embedder
from phototriage.verification import Signature, signature_of

HASHED_SIDE = 512  # at most, as PDQ's authors reduce before they hash; the others reduce much further


@dataclass(frozen=True)
class Features:
    """`embedding` float32 (D,); `codes` by hash, bool (2, bits), plain and mirrored."""

    embedding: NDArray[np.float32]
    signature: Signature
    codes: Mapping[str, NDArray[np.bool_]]


def features_of(image: Image.Image, model: Embedder, hashes: Sequence[Hash]) -> Features:
    image = as_served(image)
    small = image.copy()
    small.thumbnail((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX)
    return Features(
        model.embed(resize(whole(image), model.manifest.input).pixels[np.newaxis])[0],
        signature_of(np.asarray(image)),
        {each.name: each.describe([small])[0] for each in hashes},
    )


def as_served(image: Image.Image) -> Image.Image:
    """RGB as the service decodes it, which matters where it is transparent."""
    if image.mode == "RGB":
        return image
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return decode(file.getvalue(), ImageLimits()).convert("RGB")
