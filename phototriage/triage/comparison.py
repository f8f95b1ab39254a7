"""Two images, or embeddings of them, to the answer whether they are duplicates. No HTTP here, as in `triage`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.common.errors import MalformedRequest, PhototriageError
from phototriage.common.metrics import timed
from phototriage.duplicates.pairs import is_duplicate, margin, probability, similarity
from phototriage.images.geometry import to_upright
from phototriage.images.pixels import ImageLimits, Prepared, decode_for, resize
from phototriage.images.upright import Upright
from phototriage.model_folder.manifest import Decision
from phototriage.models.embedder import Embedder
from phototriage.models.model_set import Models
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.saliency.masks import gradient_mask, smooth_map
from phototriage.triage import embedding
from phototriage.triage.comparison_schemas import DuplicatesResponse, Explanation, SaliencyMask
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.evidence import evidence_response, reason_of, reason_of_similarity
from phototriage.triage.pipeline import DEFAULT_LIMITS
from phototriage.triage.responses import mask_png, name_of
from phototriage.triage.schemas import Embedding
from phototriage.verification.picture import draw, png
from phototriage.verification.signature import Signature, signature_of
from phototriage.verification.verifier import Verdict

# A cosine is at its maximum between equal embeddings, where its gradient is nothing but rounding: not to be shown.
LEAST_DIFFERENCE = 1e-9


@dataclass(frozen=True)
class Side:
    """One side of a comparison: an image file's bytes, or the JSON object of an embedding. `name` is what failures
    call it by."""

    name: str
    kind: Literal["image", "embedding"]
    content: bytes


@dataclass(frozen=True)
class Thresholds:
    """What takes the place of the tuned thresholds: of the similarity, which then decides alone, and of a verified
    pair's probability."""

    similarity: float | None = None
    probability: float | None = None


TUNED = Thresholds()


@dataclass(frozen=True)
class Judged:
    """The answer about a pair, and what verification found, where there was any."""

    answer: DuplicatesResponse
    verdict: Verdict | None


class Drawn(NamedTuple):
    """The answer about a pair, and as PNG both images side by side, with matched points and common parts."""

    answer: DuplicatesResponse
    png: bytes


@dataclass(frozen=True)
class _Pair:
    """Two images as they are compared. By side, 0 and 1: the input of each that came as an image, and its pixels."""

    embedder: Embedder
    images: tuple[EmbeddedImage, EmbeddedImage]
    prepared: dict[int, Prepared]
    uprights: dict[int, Upright]


def duplicates(
    models: Models,
    a: Side,
    b: Side,
    model: str | None = None,
    thresholds: Thresholds = TUNED,
    explain: bool = False,
    limits: ImageLimits = DEFAULT_LIMITS,
    deadline: float = NO_DEADLINE,
) -> DuplicatesResponse:
    """Whether two images are duplicates, by the named embedder or the default one.

    With `explain` the answer has a picture of what verification saw, and each image gets a mask of the gradient of the
    embeddings' cosine, all zero where the two are equal. Raises UnknownModel and, with the name of the side, what
    `images.decode` and `embedding.decode` raise.
    """
    pair = _read(models.embedder(model), (a, b), limits, deadline)
    judged = _judge(pair, thresholds)
    if not explain:
        return judged.answer
    equal = 1 - judged.answer.similarity < LEAST_DIFFERENCE
    masks = _masks(pair, equal, deadline)
    can_be_drawn = all(i in pair.uprights or image.signature is not None for i, image in enumerate(pair.images))
    png = base64.b64encode(_png(pair, judged)).decode("ascii") if can_be_drawn else None
    return judged.answer.model_copy(
        update={"explanation": Explanation(a=masks.get(0), b=masks.get(1), picture_png=png)}
    )


def drawn(
    models: Models,
    a: Side,
    b: Side,
    model: str | None = None,
    thresholds: Thresholds = TUNED,
    limits: ImageLimits = DEFAULT_LIMITS,
    deadline: float = NO_DEADLINE,
) -> Drawn:
    """As `duplicates`, with a picture of what verification saw. A side that came as an embedding is shown by its
    signature. Errors as of `duplicates`."""
    pair = _read(models.embedder(model), (a, b), limits, deadline)
    judged = _judge(pair, thresholds)
    return Drawn(judged.answer, _png(pair, judged))


def _judge(pair: _Pair, thresholds: Thresholds) -> Judged:
    """As `judge`; the answer also tells which pictures of animations were used."""
    judged = judge(pair.embedder, pair.images[0], pair.images[1], thresholds)
    frames = {f"frame_{'ab'[i]}": upright.frame for i, upright in pair.uprights.items() if upright.frame is not None}
    return replace(judged, answer=judged.answer.model_copy(update=frames)) if frames else judged


def judge(
    model: Embedder, a: EmbeddedImage, b: EmbeddedImage, thresholds: Thresholds = TUNED, screened: bool = False
) -> Judged:
    """What an embedder, and verification if it has any, say of two images.

    Where both have a signature, verification decides; else, or where the caller names a threshold of the similarity,
    the similarity alone. screened: as `Verifier.verify`.
    """
    tuned, verifier = decision_of(model), model.verifier
    limit = tuned.threshold if thresholds.similarity is None else thresholds.similarity
    value = similarity(a.vector, b.vector, model.manifest.layout_rescoring)
    verdict, least = None, None
    if verifier is not None and thresholds.similarity is None and a.signature is not None and b.signature is not None:
        least = verifier.config.threshold if thresholds.probability is None else thresholds.probability
        with timed("verify"):
            verdict = verifier.verify(a.signature, b.signature, least, screened)
    by_similarity = is_duplicate(value, limit)
    found: dict[str, Any] = {}  # fields that are left out of the JSON where there is nothing to tell
    reason = reason_of_similarity(value, limit)
    if verdict is not None and least is not None and a.signature is not None and b.signature is not None:
        evidence = evidence_response(verdict, a.signature, b.signature)
        reason = reason_of(verdict, least, evidence)
        found = {"min_probability": least} | ({} if evidence is None else {"evidence": evidence})
    answer = DuplicatesResponse(
        model=name_of(model),
        is_duplicate=by_similarity if verdict is None else verdict.decision == "duplicate",
        decision=("duplicate" if by_similarity else "not_duplicate") if verdict is None else verdict.decision,
        reason=reason,
        verified=verdict is not None,
        similarity=value,
        threshold=limit,
        threshold_source="tuned" if thresholds.similarity is None else "request",
        probability=probability(value, tuned.slope, tuned.intercept) if verdict is None else verdict.probability,
        margin=margin(value, limit),
        **found,
    )
    return Judged(answer, verdict)


def decision_of(model: Embedder) -> Decision:
    """An embedder's decision, without which no manifest of an embedder is read."""
    decision = model.manifest.decision
    if decision is None:
        raise TypeError(f"{model.name} is no embedder")
    return decision


def _read(model: Embedder, sides: tuple[Side, Side], limits: ImageLimits, deadline: float) -> _Pair:
    """Decode both sides, and embed those that are images, in one batch."""
    kept: dict[int, EmbeddedImage] = {}
    uprights: dict[int, Upright] = {}
    prepared: dict[int, Prepared] = {}
    for i, side in enumerate(sides):
        with _errors_name(side), timed("decode"):
            if side.kind == "embedding":
                kept[i] = decode_embedding(model, side.content)
            else:
                uprights[i] = decode_for(side.content, [model.manifest.input], limits)
                prepared[i] = resize(uprights[i], model.manifest.input)
    if prepared:
        with timed("model"):
            vectors = model.embed(np.stack([each.pixels for each in prepared.values()]), deadline)
        for i, vector in zip(prepared, vectors, strict=True):
            kept[i] = embedded_image(model, vector, uprights[i])
    return _Pair(model, (kept[0], kept[1]), prepared, uprights)


def decode_embedding(model: Embedder, content: bytes) -> EmbeddedImage:
    """A kept embedding, as JSON, of that model. Raises MalformedRequest, ForeignEmbedding."""
    manifest = model.manifest
    return embedding.decode(content, name_of(model), manifest.embedding_parts, manifest.same_embeddings_as)


def checked_embedding(model: Embedder, sent: Embedding) -> EmbeddedImage:
    """A kept embedding of that model. Raises ForeignEmbedding."""
    manifest = model.manifest
    return embedding.checked(sent, name_of(model), manifest.embedding_parts, manifest.same_embeddings_as)


def embedded(model: Embedder, side: Side, limits: ImageLimits, deadline: float = NO_DEADLINE) -> EmbeddedImage:
    """What is compared of what was sent, an image or an embedding. Raises what `images.decode` and `embedding.decode`
    raise, and DeadlineExceeded."""
    if side.kind == "embedding":
        return decode_embedding(model, side.content)
    with timed("decode"):
        upright = decode_for(side.content, [model.manifest.input], limits)
        pixels = resize(upright, model.manifest.input).pixels
    with timed("model"):
        (vector,) = model.embed(pixels[None], deadline)
    return embedded_image(model, vector, upright)


def embedded_image(model: Embedder, vector: NDArray[np.float32], upright: Upright) -> EmbeddedImage:
    """What is compared of a photo whose embedding is `vector` (D,)."""
    return EmbeddedImage(vector, None if model.verifier is None else signature_of(upright))


@contextmanager
def _errors_name(side: Side) -> Iterator[None]:
    try:
        yield
    except PhototriageError as error:
        raise error.of(side.name) from error


def _png(pair: _Pair, judged: Judged) -> bytes:
    """The picture of a pair, of images or, where embeddings came, of their signatures. Raises MalformedRequest."""
    sides = [_shown(pair, 0), _shown(pair, 1)]
    (left, a), (right, b) = sides
    answer, verdict = judged.answer, judged.verdict
    caption = f"{answer.decision.replace('_', ' ')}, probability {answer.probability:.3f}"
    with timed("encode"):
        evidence = None if verdict is None else verdict.evidence
        return png(draw(left, right, a, b, evidence, caption, answer.is_duplicate))


def _shown(pair: _Pair, i: int) -> tuple[Image.Image, Signature]:
    upright, signed = pair.uprights.get(i), pair.images[i].signature
    if upright is not None:
        part = upright.extent
        box = round(part.left), round(part.top), round(part.right), round(part.bottom)
        return upright.image.crop(box), signature_of(upright) if signed is None else signed
    if signed is None:
        raise MalformedRequest(
            f"embedding_{'ab'[i]} has no signature, and without one or the image there is nothing to draw. Send the "
            "image, or embed it again."
        )
    return Image.fromarray(signed.grey), signed


def _masks(pair: _Pair, equal: bool, deadline: float) -> dict[int, SaliencyMask]:
    """Masks by side, all zero where the embeddings are `equal`. The weights of an image's outputs are the other
    image's embedding, so that their sum is the cosine."""
    if not pair.prepared:
        return {}
    model = pair.embedder
    with timed("model"):
        weights = np.stack([pair.images[1 - i].vector[: model.manifest.width] for i in pair.prepared])
        pixels = np.stack([each.pixels for each in pair.prepared.values()])
        _, gradients = model.explain(pixels, weights, deadline)
    masks = {}
    for (i, each), gradient in zip(pair.prepared.items(), gradients, strict=True):
        shown = np.zeros_like(gradient) if equal else gradient
        mask = to_upright(gradient_mask(smooth_map(shown)), each.geometry)
        png = base64.b64encode(mask_png(mask)).decode("ascii")
        masks[i] = SaliencyMask(mask_png=png, width=each.width, height=each.height)
    return masks
