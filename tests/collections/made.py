"""Collections of the shipped embedder, which verifies, and photos for them: drawn, and copies of these."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from time import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collections.store import Description
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.index.folder import IndexedModel
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_model
from phototriage.settings import Settings
from phototriage.triage.comparison import embedded_image
from phototriage.triage.embedding import EmbeddedImage
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[2]


@cache
def embedder() -> Embedder:
    model = load_model(ROOT / "exported_models/near_duplicates", Settings(provider="cpu", threads=1))
    assert isinstance(model, Embedder)
    return model


def embed(pixels: NDArray[np.uint8]) -> EmbeddedImage:
    """Of pixels uint8 (H, W, 3)."""
    upright, model = whole(Image.fromarray(pixels)), embedder()
    return embedded_image(model, model.embed(resize(upright, model.manifest.input).pixels[None])[0], upright)


@cache
def photo(number: int) -> EmbeddedImage:
    return embed(drawn_photo(number))


@cache
def crop(number: int) -> EmbeddedImage:
    """A part of that photo."""
    return embed(np.ascontiguousarray(drawn_photo(number)[20:220, 30:300]))


@cache
def mirrored(number: int) -> EmbeddedImage:
    return embed(np.ascontiguousarray(drawn_photo(number)[:, ::-1]))


def new_store(folder: Path, **options: int) -> FolderStore:
    model = IndexedModel.of(embedder().manifest)
    return FolderStore(folder, Description(name=folder.name, model=model, created_at=time()), **options)
