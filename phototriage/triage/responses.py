"""From what models gave for one image to the answers of the API: no image is read and no model run here."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phototriage.common.metrics import timed
from phototriage.difficulty.predictor import DifficultyPrediction
from phototriage.difficulty.signals import softmax
from phototriage.images import grey_png
from phototriage.images.geometry import Geometry, to_upright
from phototriage.images.headers import Frame
from phototriage.models.classifier import Classifier
from phototriage.models.embedder import Embedder
from phototriage.models.explained_graph import ExplainedGraph
from phototriage.models.model_set import Models
from phototriage.runtime.sessions import Floats
from phototriage.saliency.featout_config import FeatOutConfig
from phototriage.saliency.masks import (
    Patch,
    Summary,
    featout_patches,
    featout_strength,
    gradient_mask,
    smooth_map,
    strength_mask,
    summarise,
)
from phototriage.triage import embedding
from phototriage.triage.schemas import (
    ClassifyResponse,
    DifficultyReason,
    DifficultyResponse,
    EmbedResponse,
    LabelProbability,
    Method,
    ModelInfo,
    ModelName,
    ModelsResponse,
    SaliencyPatch,
    SaliencyResponse,
    SaliencySummary,
)


def name_of(model: ExplainedGraph) -> ModelName:
    """Which model answers."""
    return ModelName(name=model.name, version=model.manifest.version)


def classify_response(model: Classifier, logits: Floats, top_k: int | None = None) -> ClassifyResponse:
    """logits (K,) of an image; the `top_k` most probable labels are listed, or all."""
    probabilities = softmax(logits)
    best = np.argsort(-probabilities, kind="stable")[: top_k or len(probabilities)]
    listed = [LabelProbability(label=model.labels[i], probability=float(probabilities[i])) for i in best]
    return ClassifyResponse(
        model=name_of(model), label=listed[0].label, confidence=listed[0].probability, probabilities=listed
    )


def difficulty_response(classifier: Classifier, prediction: DifficultyPrediction) -> DifficultyResponse:
    return DifficultyResponse(
        model=name_of(classifier),
        score=prediction.score,
        percentile=prediction.percentile,
        review=prediction.review,
        reasons=[DifficultyReason(**vars(reason)) for reason in prediction.reasons],
        components=prediction.components,
        **vars(prediction.answers) if prediction.answers is not None else {},
    )


def embed_response(model: Embedder, vector: Floats, signature: bytes | None = None) -> EmbedResponse:
    """vector (D,) of an image, and its encoded signature where the model verifies."""
    return EmbedResponse(model=name_of(model), embedding=embedding.encode(vector, name_of(model), signature))


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
    frame: Frame | None = None

    def png(self) -> bytes:
        """The mask as 8-bit grey PNG."""
        return mask_png(self.mask)

    def answer(self) -> SaliencyResponse:
        height, width = self.mask.shape
        return SaliencyResponse(
            model=self.model,
            target=self.target,
            method=self.method,
            width=width,
            height=height,
            mask_png=base64.b64encode(self.png()).decode("ascii"),
            patches=[SaliencyPatch(**vars(patch)) for patch in self.patches],
            summary=SaliencySummary(**vars(self.summary)),
            trained_with_featout=self.trained_with_featout,
            frame=self.frame,
        )


def saliency_of(model: Classifier, target: str, gradient: Floats, geometry: Geometry, method: Method) -> Saliency:
    """gradient (H, W, C) of the target's logit at the model's input, which lies in the upright image so."""
    smooth = smooth_map(gradient)
    config = model.manifest.featout or FeatOutConfig()
    featout = method == "featout"
    mask = strength_mask(featout_strength(smooth, config)) if featout else gradient_mask(smooth)
    return Saliency(
        model=name_of(model),
        target=target,
        method=method,
        mask=to_upright(mask, geometry),
        patches=_upright_patches(featout_patches(smooth, config), geometry),
        summary=summarise(smooth),
        trained_with_featout=model.manifest.featout is not None if featout else None,
    )


def mask_png(mask: NDArray[np.uint8]) -> bytes:
    """A mask uint8 (H, W) as 8-bit grey PNG."""
    with timed("encode"):
        return grey_png.encode(mask)


def _upright_patches(patches: list[Patch], geometry: Geometry) -> list[Patch]:
    """Patches from the input's pixels to the upright image's; those centred in the padding have no place there."""
    upright = []
    for patch in patches:
        row, column, radius = geometry.point_to_upright(patch.row, patch.column, patch.radius)
        if -0.5 <= row < geometry.height - 0.5 and -0.5 <= column < geometry.width - 0.5:
            upright.append(Patch(row, column, radius, patch.intensity))
    return upright


def list_models(models: Models) -> ModelsResponse:
    """Every manifest, with `default` telling which model does answer, whatever the manifest says of itself."""
    defaults = set(models.defaults.values())
    infos = []
    for manifest in models.manifests:
        fields = manifest.model_dump(exclude={"format", "default"})
        infos.append(ModelInfo(**fields, default=manifest.name in defaults))
    return ModelsResponse(models=infos)
