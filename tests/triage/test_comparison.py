"""Two sides to one answer: by the tiny embedder, whose similarities and gradients are known."""

from __future__ import annotations

import base64
import io
import math
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.errors import (
    DeadlineExceeded,
    ForeignEmbedding,
    MalformedRequest,
    TooLarge,
    UndecodableImage,
    UnknownModel,
)
from phototriage.images.pixels import ImageLimits
from phototriage.models.model_set import Models
from phototriage.triage import pipeline
from phototriage.triage.comparison import Side, Thresholds, duplicates
from phototriage.triage.comparison_schemas import SaliencyMask
from phototriage.triage.responses import name_of
from tests.hostile_files import encode
from tests.tiny_models import PEAK, solid

RED, BLACK, GREEN = solid((255, 0, 0)), solid((0, 0, 0)), solid((0, 255, 0))
REDDISH = solid((255, 51, 0))  # (.5, −.3, −.5) from grey
NEAR = 1.3 / math.sqrt(3 * 0.59)  # its cosine with red


def image(content: bytes, name: str = "image_a") -> Side:
    return Side(name, "image", content)


def embedded(models: Models, content: bytes, name: str = "embedding_b") -> Side:
    return Side(name, "embedding", pipeline.embed(models, content).embedding.model_dump_json().encode())


def mask_of(answer: SaliencyMask | None) -> NDArray[np.uint8]:
    assert answer is not None
    with Image.open(io.BytesIO(base64.b64decode(answer.mask_png))) as file:
        assert (file.format, file.mode, file.size) == ("PNG", "L", (answer.width, answer.height))
        return np.asarray(file)


@pytest.mark.parametrize(
    ("other", "expected"), [(RED, 1), (REDDISH, NEAR), (BLACK, 1 / 3), (GREEN, -1 / 3), (solid((0, 255, 255)), -1)]
)
def test_similarities_of_colours(models: Models, other: bytes, expected: float) -> None:
    answer = duplicates(models, image(RED), image(other, "image_b"))
    assert answer.similarity == pytest.approx(expected, abs=1e-6)
    assert answer.is_duplicate == (expected >= 0.9)
    assert (answer.threshold, answer.threshold_source) == (0.9, "tuned")
    assert answer.margin == pytest.approx(expected - 0.9, abs=1e-6)
    assert answer.probability == pytest.approx(1 / (1 + math.exp(8 - 10 * expected)), abs=1e-5)
    assert answer.model == name_of(models.embedder())
    assert answer.explanation is None


def test_each_side_tells_which_picture_of_an_animation_it_is(models: Models) -> None:
    green = Image.new("RGB", (8, 8), "lime")
    animated = encode(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[green])
    answer = duplicates(models, image(animated), image(RED, "image_b"))
    assert (answer.is_duplicate, answer.frame_a, answer.frame_b) == (True, "first", None)
    assert "frame_b" not in answer.model_dump_json(exclude_unset=True)
    assert duplicates(models, image(RED), image(animated, "image_b")).frame_b == "first"


def test_an_explanation_does_not_begin_after_the_deadline(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = models.embedder()
    forward = embedder.forward

    def slow(*given: Any) -> Any:
        embeddings = forward(*given)
        time.sleep(0.3)
        return embeddings

    monkeypatch.setattr(embedder, "forward", slow)
    sides = image(RED), image(BLACK, "image_b")
    with pytest.raises(DeadlineExceeded):
        duplicates(models, *sides, explain=True, deadline=time.monotonic() + 0.2)
    assert duplicates(models, *sides, deadline=time.monotonic() + 0.2).explanation is None


def test_a_threshold_of_the_callers_is_told(models: Models) -> None:
    answer = duplicates(models, image(RED), image(BLACK), thresholds=Thresholds(0.25))
    assert (answer.is_duplicate, answer.threshold, answer.threshold_source) == (True, 0.25, "request")
    assert answer.margin == pytest.approx(1 / 3 - 0.25, abs=1e-6)
    # The probability is the model's own, whatever threshold is asked for.
    assert answer.probability == duplicates(models, image(RED), image(BLACK)).probability


def test_a_threshold_of_zero_is_the_callers_too(models: Models) -> None:
    assert duplicates(models, image(RED), image(GREEN), thresholds=Thresholds(0.0)).threshold_source == "request"


def test_embeddings_stand_for_images(models: Models) -> None:
    for a, b in (
        (image(RED), embedded(models, REDDISH)),
        (embedded(models, RED), image(REDDISH)),
        (embedded(models, RED), embedded(models, REDDISH)),
    ):
        assert duplicates(models, a, b).similarity == pytest.approx(NEAR, abs=1e-6)


def test_both_images_are_embedded_in_one_batch(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = models.embedder()
    shapes, embed = [], embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda images, _: shapes.append(images.shape) or embed(images))  # type: ignore[func-returns-value]
    duplicates(models, image(RED), image(BLACK))
    duplicates(models, image(RED), embedded(models, BLACK))
    assert shapes == [(2, 16, 16, 3), (1, 16, 16, 3), (1, 16, 16, 3)]


def test_each_image_is_explained_by_the_other_ones_embedding(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = models.embedder()
    weights, explain = [], embedder.explain
    monkeypatch.setattr(embedder, "explain", lambda *inputs: weights.append(inputs[1]) or explain(*inputs))  # type: ignore[func-returns-value]
    duplicates(models, image(RED), image(BLACK), explain=True)
    duplicates(models, embedded(models, GREEN), image(BLACK), explain=True)
    signs = np.concatenate(weights) * math.sqrt(3)
    np.testing.assert_allclose(signs, [[-1, -1, -1], [1, -1, -1], [-1, 1, -1]], rtol=1e-6)


def test_the_mask_is_that_of_the_pixels_weights(models: Models) -> None:
    answer = duplicates(models, image(RED), image(BLACK), explain=True)
    # Every pixel counts once, the one at PEAK three times: above the rest wherever the 3 × 3 box reaches it.
    expected = np.zeros((16, 16), np.uint8)
    expected[PEAK[0] - 1 : PEAK[0] + 2, PEAK[1] - 1 : PEAK[1] + 2] = 255
    assert answer.explanation is not None
    np.testing.assert_array_equal(mask_of(answer.explanation.a), expected)
    np.testing.assert_array_equal(mask_of(answer.explanation.b), expected)


def test_masks_are_over_the_upright_images(models: Models) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(file, "PNG", exif=exif)
    wide = solid((0, 0, 0), height=32, width=48)
    answer = duplicates(models, image(file.getvalue()), image(wide), explain=True)
    assert answer.explanation is not None
    assert mask_of(answer.explanation.a).shape == (40, 20)
    mask = mask_of(answer.explanation.b)
    assert mask.shape == (32, 48)
    # The pixel at PEAK is two rows by three columns there.
    assert (mask[2 * PEAK[0] : 2 * PEAK[0] + 2, 3 * PEAK[1] : 3 * PEAK[1] + 3] == 255).all()


def test_equal_images_have_no_gradient_to_show(models: Models) -> None:
    # The cosine is at its maximum; what rounding leaves of the gradient must not be blown up to a mask.
    answer = duplicates(models, image(BLACK), image(BLACK), explain=True)
    assert answer.similarity == 1
    assert answer.explanation is not None
    assert not mask_of(answer.explanation.a).any()


def test_embeddings_have_no_mask(models: Models) -> None:
    half = duplicates(models, image(RED), embedded(models, BLACK), explain=True).explanation
    assert half is not None
    assert half.a is not None
    assert half.b is None
    neither = duplicates(models, embedded(models, RED), embedded(models, BLACK), explain=True).explanation
    assert neither is not None
    assert neither.a is neither.b is None


def test_failures_tell_the_side(models: Models) -> None:
    with pytest.raises(UndecodableImage, match=r"^image_a: The PNG"):
        duplicates(models, image(RED[:-40]), image(BLACK, "image_b"))
    with pytest.raises(UndecodableImage, match=r"^image_b: The PNG"):
        duplicates(models, image(RED), image(RED[:-40], "image_b"))
    with pytest.raises(MalformedRequest, match=r"^embedding_b: The embedding is not"):
        duplicates(models, image(RED), Side("embedding_b", "embedding", b"x"))
    foreign = Side(
        "embedding_b", "embedding", embedded(models, RED).content.replace(b'"dimension":3', b'"dimension":4')
    )
    with pytest.raises(ForeignEmbedding, match=r"^embedding_b: The embedding says 4 dimensions"):
        duplicates(models, image(RED), foreign)


def test_limits_hold_for_either_side(models: Models) -> None:
    large = solid((0, 0, 0), height=20, width=20)
    for sides in ((image(large), image(RED)), (image(RED), image(large))):
        with pytest.raises(TooLarge, match=r"^image_a: .*256"):
            duplicates(models, *sides, limits=ImageLimits(max_pixels=256))


def test_classifiers_compare_nothing(models: Models) -> None:
    with pytest.raises(UnknownModel, match="No embedder is called 'tiny'; there is tiny_embedder"):
        duplicates(models, image(RED), image(RED), model="tiny")
