"""The one path from an image file's bytes to an answer. No HTTP here: the service and the command line call this."""

from __future__ import annotations

import base64
import io
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage import embedding
from phototriage.errors import MalformedRequest, UnknownLabel
from phototriage.featout_rule import FeatOutRule
from phototriage.geometry import Geometry, to_upright
from phototriage.images import ImageLimits, Prepared, prepare
from phototriage.metrics import timed
from phototriage.models import Models
from phototriage.runtime import OnnxModel
from phototriage.saliency import (
    Patch,
    Summary,
    featout_patches,
    featout_strength,
    gradient_mask,
    smooth_map,
    strength_mask,
    summarise,
)
from phototriage.schemas import (
    ClassifyAnswer,
    EmbedAnswer,
    LabelProbability,
    Method,
    ModelInfo,
    ModelName,
    ModelsAnswer,
    PatchAnswer,
    SaliencyAnswer,
    SummaryAnswer,
)
from phototriage.signals import softmax

DEFAULT_LIMITS = ImageLimits()


def classify(
    models: Models,
    data: bytes,
    model: str | None = None,
    top_k: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> ClassifyAnswer:
    """Which label an image has, by the named model or the default one, with the `top_k` best probabilities.

    Raises what `images.decode` raises, UnknownModel, and MalformedRequest if top_k is out of range.
    """
    chosen = models.get(model)
    count = len(chosen.labels)
    if top_k is not None and not 1 <= top_k <= count:
        raise MalformedRequest(f"top_k is {top_k}; {chosen.name} has {count} labels, so it goes from 1 to {count}.")
    prepared = prepare_for(chosen, data, limits)
    with timed("model"):
        logits = chosen.logits(prepared.pixels[np.newaxis])[0]
    probabilities = softmax(logits)
    best = np.argsort(-probabilities, kind="stable")[: top_k or count]
    listed = [LabelProbability(label=chosen.labels[i], probability=float(probabilities[i])) for i in best]
    return ClassifyAnswer(
        model=name_of(chosen), label=listed[0].label, confidence=listed[0].probability, probabilities=listed
    )


@dataclass(frozen=True)
class Saliency:
    """What a model looked at. `mask` is uint8 (H, W) over the upright image, points are in its pixels."""

    model: ModelName
    target: str
    method: Method
    mask: NDArray[np.uint8]
    patches: list[Patch]
    summary: Summary
    trained_with_featout: bool | None

    def png(self) -> bytes:
        """The mask as 8-bit grey PNG."""
        return mask_png(self.mask)

    def answer(self) -> SaliencyAnswer:
        height, width = self.mask.shape
        return SaliencyAnswer(
            model=self.model,
            target=self.target,
            method=self.method,
            width=width,
            height=height,
            mask_png=base64.b64encode(self.png()).decode("ascii"),
            patches=[PatchAnswer(**vars(patch)) for patch in self.patches],
            summary=SummaryAnswer(**vars(self.summary)),
            trained_with_featout=self.trained_with_featout,
        )


def saliency(
    models: Models,
    data: bytes,
    method: Method = "gradient",
    target: str | None = None,
    model: str | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Saliency:
    """What the model leans on for the `target` label, or without one for the label that it predicts.

    `gradient`: the smoothed gradient of the label's logit. `featout`: how strongly FeatOut would remove each
    pixel, by the model's own settings or, if it was trained without FeatOut, by the usual ones.
    Raises what `images.decode` raises, UnknownModel, UnknownLabel.
    """
    chosen = models.get(model)
    if target is not None and target not in chosen.labels:
        raise UnknownLabel(f"{chosen.name} has no label {target[:64]!r}; it has {some_labels(chosen.labels)}.")
    prepared = prepare_for(chosen, data, limits)
    with timed("model"):
        images = prepared.pixels[np.newaxis]
        index = int(chosen.logits(images)[0].argmax()) if target is None else chosen.labels.index(target)
        output_weights = np.zeros((1, len(chosen.labels)), np.float32)
        output_weights[0, index] = 1
        _, gradient = chosen.explain(images, output_weights)
    smooth = smooth_map(gradient[0])
    rule = chosen.manifest.featout or FeatOutRule()
    featout = method == "featout"
    mask = strength_mask(featout_strength(smooth, rule)) if featout else gradient_mask(smooth)
    return Saliency(
        model=name_of(chosen),
        target=chosen.labels[index],
        method=method,
        mask=to_upright(mask, prepared.geometry),
        patches=_upright_patches(featout_patches(smooth, rule), prepared.geometry),
        summary=summarise(smooth),
        trained_with_featout=chosen.manifest.featout is not None if featout else None,
    )


def embed(models: Models, data: bytes, model: str | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> EmbedAnswer:
    """The embedding of an image, by the named embedder or the default one, to be compared later.

    Raises what `images.decode` raises, and UnknownModel.
    """
    chosen = models.get(model, "embedder")
    prepared = prepare_for(chosen, data, limits)
    with timed("model"):
        vector = chosen.embed(prepared.pixels[np.newaxis])[0]
    return EmbedAnswer(model=name_of(chosen), embedding=embedding.encode(vector, name_of(chosen)))


def list_models(models: Models) -> ModelsAnswer:
    """Every manifest, with `default` telling which model does answer, whatever the manifest says of itself."""
    defaults = set(models.defaults.values())
    infos = []
    for manifest in models.manifests:
        fields = manifest.model_dump(exclude={"format", "default"})
        infos.append(ModelInfo(**fields, default=manifest.name in defaults))
    return ModelsAnswer(models=infos)


def mask_png(mask: NDArray[np.uint8]) -> bytes:
    """A mask uint8 (H, W) as 8-bit grey PNG.

    Compressed at the lowest level by run lengths: a smooth 50-megapixel mask takes .5 s and 6 MB; level 6 takes 2 s
    for as many bytes.
    """
    file = io.BytesIO()
    with timed("encode"):
        Image.fromarray(mask).save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()


def prepare_for(model: OnnxModel, data: bytes, limits: ImageLimits) -> Prepared:
    """An image file's bytes as that model's input. Raises what `images.decode` raises."""
    with timed("decode"):
        return prepare(data, model.manifest.input, limits)


def _upright_patches(patches: list[Patch], geometry: Geometry) -> list[Patch]:
    """Patches from the input's pixels to the upright image's; those centred in the padding have no place there."""
    upright = []
    for patch in patches:
        row, column, radius = geometry.point_to_upright(patch.row, patch.column, patch.radius)
        if -0.5 <= row < geometry.height - 0.5 and -0.5 <= column < geometry.width - 0.5:
            upright.append(Patch(row, column, radius, patch.intensity))
    return upright


def name_of(model: OnnxModel) -> ModelName:
    """Which model answers."""
    return ModelName(name=model.name, version=model.manifest.version)


def some_labels(labels: tuple[str, ...], limit: int = 20) -> str:
    """For a message."""
    more = f" and {len(labels) - limit} more" if len(labels) > limit else ""
    return ", ".join(labels[:limit]) + more
