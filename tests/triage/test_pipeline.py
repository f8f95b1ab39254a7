from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from phototriage.common.errors import MalformedRequest, TooLarge, UndecodableImage, UnknownLabel, UnknownModel
from phototriage.difficulty.signals import softmax
from phototriage.images.pixels import ImageLimits
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from phototriage.triage import pipeline, responses
from tests.hostile_files import encode
from tests.tiny_models import LABELS, PEAK, decision, input_rule, solid, write_model

RED = solid((255, 0, 0))


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Models]:
    """Load one tiny model with a changed manifest."""

    def load(**changes: Any) -> Models:
        write_model(tmp_path / "models" / "changed", **changes)
        return load_models(Settings(models_directory=tmp_path / "models", threads=1, provider="cpu"))

    return load


def test_classify_gives_the_softmax_of_the_mean_colour(models: Models) -> None:
    answer = pipeline.classify(models, RED)
    total = math.exp(10) + 2
    assert answer.label == "red"
    assert answer.confidence == pytest.approx(math.exp(10) / total)
    assert [each.label for each in answer.probabilities] == ["red", "green", "blue"]
    assert answer.probabilities[2].probability == pytest.approx(1 / total)
    assert answer.model.name == "tiny"
    assert answer.model.version == models.classifier("tiny").manifest.version


def test_top_k_lists_the_best(models: Models) -> None:
    answer = pipeline.classify(models, solid((0, 100, 200)), top_k=2)
    assert [each.label for each in answer.probabilities] == ["blue", "green"]


def test_each_part_tells_which_picture_of_an_animation_it_is_about(models: Models) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    request = pipeline.TriageRequest(("classify", "saliency"))
    for kind, options, frame in (("GIF", {}, "first"), ("PNG", {"default_image": True}, "default")):
        answer = pipeline.triage(models, encode(red, kind, save_all=True, append_images=[blue], **options), request)
        assert answer.classify is not None
        assert answer.saliency is not None
        assert (answer.classify.label, answer.classify.frame, answer.saliency.frame) == ("red", frame, frame)
    still = pipeline.triage(models, RED, request)
    assert "frame" not in still.model_dump_json(exclude_none=True)


@pytest.mark.parametrize("top_k", [0, -1, 4])
def test_top_k_out_of_range_names_the_limits(models: Models, top_k: int) -> None:
    with pytest.raises(MalformedRequest, match="from 1 to 3"):
        pipeline.classify(models, RED, top_k=top_k)


def test_unknown_model_lists_what_there_is(models: Models) -> None:
    with pytest.raises(UnknownModel, match="'dogs'; there is tiny"):
        pipeline.classify(models, RED, model="dogs")


def test_bad_images_pass_through(models: Models) -> None:
    with pytest.raises(UndecodableImage):
        pipeline.classify(models, RED[:-40])
    with pytest.raises(TooLarge):
        pipeline.classify(models, RED, limits=ImageLimits(max_bytes=10))


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([1000.0, 1000.0, -1000.0], np.float32)).tolist() == [0.5, 0.5, 0.0]


def test_gradient_mask_is_the_pattern_spread_by_the_box(models: Models) -> None:
    answer = pipeline.saliency(models, RED)
    expected = np.zeros((16, 16), np.uint8)
    expected[3:6, 7:10] = 255  # 1 at (4, 8), over 3 × 3
    expected[11:14, 3:6] = 128  # 1/2 at (12, 4)
    np.testing.assert_array_equal(answer.mask, expected)
    assert answer.target == "red"
    assert answer.trained_with_featout is None


def test_target_is_what_is_explained(serve: Callable[..., Models]) -> None:
    models = serve()
    for target, channel in ((None, 0), ("red", 0), ("blue", 2)):
        asked = pipeline.make_plan(models, pipeline.TriageRequest(("saliency",), target=target))
        looked = pipeline.run_models(asked, RED, ImageLimits())
        assert pipeline.saliency_part(asked, looked).target == LABELS[channel]
        gradient = looked.gradient
        assert gradient is not None
        # The tiny model's gradient is in the explained label's own channel alone.
        assert [bool(gradient[..., each].any()) for each in range(3)] == [each == channel for each in range(3)]


def test_unknown_label_is_refused(models: Models) -> None:
    with pytest.raises(UnknownLabel, match="'pink'; it has red, green, blue"):
        pipeline.saliency(models, RED, target="pink")


def test_featout_mask_is_what_training_removes(models: Models) -> None:
    answer = pipeline.saliency(models, RED, "featout")
    # 35 % of 256 pixels in two patches: radius 3.78 at the peak, half of it and of the strength at the side.
    radius = math.sqrt(0.35 * 256 / (2 * math.pi))
    strongest, weaker = answer.patches
    assert (strongest.row, strongest.column, strongest.intensity) == (3, 7, 1.0)
    assert strongest.radius == pytest.approx(radius)
    assert (weaker.row, weaker.column) == (11, 3)
    assert weaker.intensity == pytest.approx(0.5)
    assert weaker.radius == pytest.approx(radius / 2)
    assert answer.mask[PEAK] == 255
    assert set(np.unique(answer.mask)) == {0, 128, 255}
    assert (answer.mask == 255).sum() <= math.pi * radius**2
    assert answer.trained_with_featout is True


def test_a_model_trained_without_featout_says_so(serve: Callable[..., Models]) -> None:
    assert pipeline.saliency(serve(featout=None), RED, "featout").trained_with_featout is False


def test_mask_and_patches_are_in_pixels_of_the_upright_image(models: Models) -> None:
    answer = pipeline.saliency(models, solid((255, 0, 0), height=160, width=320))
    assert answer.mask.shape == (160, 320)
    row, column = np.unravel_index(int(answer.mask.argmax()), answer.mask.shape)
    assert 30 <= row < 60
    assert 140 <= column < 200
    # The peak at (3, 7) of 16 × 16: its centre is at (3.5, 7.5) / 16 of the image.
    assert (answer.patches[0].row, answer.patches[0].column) == (3.5 * 10 - 0.5, 7.5 * 20 - 0.5)


def test_rotated_photos_are_explained_upright(models: Models) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(file, "JPEG", exif=exif)
    assert pipeline.saliency(models, file.getvalue()).mask.shape == (40, 20)


def test_patches_in_the_padding_have_no_place_in_the_image(serve: Callable[..., Models]) -> None:
    models = serve(input=input_rule(aspect="pad"))
    # 16 × 4 pixels fill columns 6 to 9 of the input; the patches are centred at columns 7 and 3.
    answer = pipeline.saliency(models, solid((255, 0, 0), height=16, width=4))
    assert [(patch.row, patch.column) for patch in answer.patches] == [(3, 1)]


def test_answer_holds_the_mask_as_grey_png(models: Models) -> None:
    saliency = pipeline.saliency(models, solid((0, 255, 0), height=20, width=30))
    answer = saliency.answer()
    with Image.open(io.BytesIO(base64.b64decode(answer.mask_png))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (30, 20))
        np.testing.assert_array_equal(np.asarray(image), saliency.mask)
    assert (answer.width, answer.height) == (30, 20)
    assert 0 < answer.summary.entropy < 1


def test_embed_gives_the_direction_of_the_mean_colour(models: Models) -> None:
    answer = pipeline.embed(models, RED)
    vector = np.frombuffer(base64.b64decode(answer.embedding.values), "<f4")
    np.testing.assert_allclose(vector, np.array([1, -1, -1]) / math.sqrt(3), rtol=1e-6)
    assert answer.embedding.dimension == 3
    version = models.embedder("tiny_embedder").manifest.version
    assert (answer.model.name, answer.model.version) == ("tiny_embedder", version)
    assert (answer.embedding.model, answer.embedding.version) == ("tiny_embedder", version)


def test_embed_takes_embedders_alone(models: Models) -> None:
    with pytest.raises(UnknownModel, match="No embedder is called 'tiny'; there is tiny_embedder"):
        pipeline.embed(models, RED, "tiny")
    with pytest.raises(UnknownModel, match="No classifier is called 'tiny_embedder'; there is tiny"):
        pipeline.classify(models, RED, "tiny_embedder")


def test_models_are_listed_without_paths(models: Models, settings: Settings) -> None:
    answer = responses.list_models(models)
    classifier, embedder = answer.models
    assert (classifier.name, embedder.name) == ("tiny", "tiny_embedder")
    assert classifier.default is embedder.default is True
    assert (classifier.labels, classifier.decision) == (LABELS, None)
    assert (embedder.labels, embedder.decision) == ((), decision())
    assert str(settings.models_directory) not in answer.model_dump_json()
