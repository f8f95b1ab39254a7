"""The shipped embedder's verification, on images that the tests draw: whole kinds are right, not single files."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from phototriage.images.pixels import ImageLimits
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.triage.comparison import judge
from phototriage.triage.embedder_input import embedder_input
from phototriage.triage.embedding import EmbeddedImage
from phototriage.verification import signature
from tests.verification.photos import drawn_photo
from training.drawings import KINDS, draw_set

SHIPPED = Path(__file__).parents[2] / "exported_models" / "near_duplicates"
EACH = 5
SEED = 41  # of no drawing that the verification was fitted or tuned to
EMPTY = {"blank"}


@pytest.fixture(scope="module")
def model() -> Embedder:
    return load_embedder(SHIPPED, Settings(provider="cpu", threads=1))


def seen(model: Embedder, image: Image.Image, **saved: object) -> EmbeddedImage:
    """An image as it is after an upload."""
    file = io.BytesIO()
    image.save(file, **({"format": "PNG"} | saved))  # type: ignore[arg-type]
    pixels, signed = embedder_input(model, file.getvalue(), ImageLimits())
    assert signed is not None
    return EmbeddedImage(model.embed(pixels[np.newaxis])[0], signature.decode(signed))


def copy(model: Embedder, image: Image.Image) -> EmbeddedImage:
    """Of two thirds of the size; a JPEG, if it isn't transparent."""
    small = image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.BICUBIC)
    return seen(model, small) if image.mode == "RGBA" else seen(model, small, format="JPEG", quality=45)


def test_copies_of_drawn_images_are_found_and_others_told_apart(model: Embedder) -> None:
    missed, false, others = [], [], 0
    for kind in sorted(KINDS.keys() - EMPTY):
        drawings = draw_set(kind, EACH, SEED)
        images, copies = [seen(model, each) for each in drawings], [copy(model, each) for each in drawings]
        decisions = [judge(model, a, b).answer.decision for a, b in zip(images, copies, strict=True)]
        missed += [kind for decision in decisions if decision != "duplicate"]
        for a, b in combinations(range(EACH), 2):
            others += 1
            false += [kind] if judge(model, images[a], copies[b]).answer.is_duplicate else []
    assert others == 120
    assert len(missed) <= 1, missed
    assert len(false) <= 2, false


def test_plain_images_are_no_duplicates_of_one_another(model: Embedder) -> None:
    images = [seen(model, each) for each in draw_set("blank", EACH, SEED)]
    for a, b in combinations(images, 2):
        answer = judge(model, a, b).answer
        assert (answer.decision, answer.is_duplicate) == ("too_little_content", False)


def test_photos_are_found_turned_cut_and_on_a_page(model: Embedder) -> None:
    for number in range(4):
        photo = Image.fromarray(drawn_photo(number, 300, 400))
        other = seen(model, Image.fromarray(drawn_photo(number + 10, 300, 400)))
        page = Image.new("RGB", (900, 700), (30, 90, 140))
        page.paste(photo, (310, 250))
        edited = [
            photo.transpose(Image.Transpose.ROTATE_90),
            photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
            photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((200, 150)),
            photo.crop((60, 50, 340, 270)),
            page,
        ]
        whole = seen(model, photo)
        for place, each in enumerate(edited):
            uploaded = seen(model, each, format="JPEG", quality=70)
            assert judge(model, whole, uploaded).answer.is_duplicate, (number, place)
            assert not judge(model, other, uploaded).answer.is_duplicate, (number, place)
