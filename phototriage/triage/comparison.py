"""Two images, or embeddings of them, to the answer whether they are duplicates. No HTTP here, as in `triage`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phototriage.common.errors import PhototriageError
from phototriage.common.metrics import timed
from phototriage.duplicates.pairs import is_duplicate, margin, probability, similarity
from phototriage.images.geometry import to_upright
from phototriage.images.pixels import ImageLimits, Prepared
from phototriage.model_folder.manifest import Decision
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.saliency.masks import gradient_mask, smooth_map
from phototriage.triage import embedding
from phototriage.triage.pipeline import DEFAULT_LIMITS, prepare_for
from phototriage.triage.responses import mask_png, name_of
from phototriage.triage.schemas import DuplicatesResponse, Explanation, SaliencyMask

# A cosine is at its maximum between equal embeddings, where its gradient is nothing but rounding: not to be shown.
LEAST_DIFFERENCE = 1e-9

Vectors = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: an image file's bytes, or the JSON object of an embedding. `name` is what failures
    call it by."""

    name: str
    kind: Literal["image", "embedding"]
    content: bytes


def duplicates(
    models: Models,
    a: Side,
    b: Side,
    model: str | None = None,
    threshold: float | None = None,
    explain: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
    deadline: float = NO_DEADLINE,
) -> DuplicatesResponse:
    """Whether two images are duplicates, by the named embedder or the default one.

    `threshold` in [−1, 1] takes the place of the tuned one. With `explain` each image gets a mask of the gradient of
    the embeddings' cosine, all zero where the two are equal. Raises UnknownModel and, with the name of the side, what
    `images.decode` and `embedding.decode` raise.
    """
    embedder = models.embedder(model)
    given = {i: _decode(embedder, side) for i, side in enumerate((a, b)) if side.kind == "embedding"}
    prepared = {i: _prepare(embedder, side, limits) for i, side in enumerate((a, b)) if side.kind == "image"}
    with timed("model"):
        vectors = _vectors(embedder, prepared, given, deadline)
    answer = decide(embedder, similarity(vectors[0], vectors[1], embedder.manifest.layout_rescoring), threshold)
    if not explain:
        return answer
    equal = 1 - answer.similarity < LEAST_DIFFERENCE
    masks = _explain(embedder, prepared, vectors, equal, deadline)
    return answer.model_copy(update={"explanation": Explanation(a=masks.get(0), b=masks.get(1))})


def decide(model: Embedder, similarity: float, threshold: float | None = None) -> DuplicatesResponse:
    """What an embedder says of two images of that similarity."""
    decision = decision_of(model)
    limit = decision.threshold if threshold is None else threshold
    return DuplicatesResponse(
        model=name_of(model),
        is_duplicate=is_duplicate(similarity, limit),
        similarity=similarity,
        threshold=limit,
        threshold_source="tuned" if threshold is None else "request",
        probability=probability(similarity, decision.slope, decision.intercept),
        margin=margin(similarity, limit),
    )


def decision_of(model: Embedder) -> Decision:
    """An embedder's decision, without which no manifest of an embedder is read."""
    decision = model.manifest.decision
    if decision is None:
        raise TypeError(f"{model.name} is no embedder")
    return decision


def _decode(model: Embedder, side: Side) -> NDArray[np.float32]:
    with _errors_name(side):
        return embedding.decode(side.content, name_of(model), model.manifest.embedding_parts)


def _prepare(model: Embedder, side: Side, limits: ImageLimits) -> Prepared:
    with _errors_name(side):
        return prepare_for(model, side.content, limits)


@contextmanager
def _errors_name(side: Side) -> Iterator[None]:
    try:
        yield
    except PhototriageError as error:
        raise error.of(side.name) from error


def _vectors(
    model: Embedder, prepared: dict[int, Prepared], given: dict[int, NDArray[np.float32]], deadline: float
) -> Vectors:
    """The embeddings of both sides, those of images in one batch."""
    embedded = given
    if prepared:
        computed = model.embed(np.stack([each.pixels for each in prepared.values()]), deadline)
        embedded = given | dict(zip(prepared, computed, strict=True))
    return [embedded[0], embedded[1]]


def _explain(
    model: Embedder, prepared: dict[int, Prepared], vectors: Vectors, equal: bool, deadline: float
) -> dict[int, SaliencyMask]:
    """Masks by side, all zero where the embeddings are `equal`. The weights of an image's outputs are the other
    image's embedding, so that their sum is the cosine."""
    if not prepared:
        return {}
    with timed("model"):
        weights = np.stack([vectors[1 - i][: model.manifest.width] for i in prepared])
        _, gradients = model.explain(np.stack([each.pixels for each in prepared.values()]), weights, deadline)
    masks = {}
    for (i, each), gradient in zip(prepared.items(), gradients, strict=True):
        shown = np.zeros_like(gradient) if equal else gradient
        mask = to_upright(gradient_mask(smooth_map(shown)), each.geometry)
        png = base64.b64encode(mask_png(mask)).decode("ascii")
        masks[i] = SaliencyMask(mask_png=png, width=each.width, height=each.height)
    return masks
