"""The one path from an image file's bytes to its answers: one decode, each model run once, only what is asked for.

No HTTP here: the service and the command line call this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from phototriage.common.errors import MalformedRequest, UnknownModel
from phototriage.common.metrics import timed
from phototriage.difficulty.predictor import DifficultyPrediction
from phototriage.difficulty.signals import SignalInputs
from phototriage.images.geometry import Geometry
from phototriage.images.headers import Frame
from phototriage.images.pixels import ImageLimits, decode_for, resize
from phototriage.images.upright import Upright
from phototriage.models.classifier import Classifier
from phototriage.models.embedder import Embedder
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.model_set import DifficultyModels, Kind, Models
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.sessions import Floats
from phototriage.triage.embedding import EmbeddedImage
from phototriage.triage.responses import Saliency, classify_response, difficulty_response, embed_response, saliency_of
from phototriage.triage.schemas import ClassifyResponse, DifficultyResponse, EmbedResponse, Method, Part, TriageResponse
from phototriage.verification import signature

T = TypeVar("T")

Work = Callable[[], Floats]
Aside = Callable[[Work], Work]  # takes work, and gives what waits for its result

DEFAULT_LIMITS = ImageLimits()
DEFAULT_PARTS: tuple[Part, ...] = ("classify", "difficulty", "embed")


def in_turn(work: Work) -> Work:
    """An Aside for a caller with one thread: the work is done when its result is wanted."""
    return work


@dataclass(frozen=True)
class TriageRequest:
    """What is asked about an image. include: the parts, or None for as many of DEFAULT_PARTS as there are models for.

    A model that isn't named is the default of its kind. `label` is what the caller takes the image for, `target` the
    label whose saliency is asked for, or None for the predicted one.
    """

    include: tuple[Part, ...] | None = None
    classifier: str | None = None
    embedder: str | None = None
    top_k: int | None = None
    label: str | None = None
    method: Method = "gradient"
    target: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request with its models found and its names checked, before any image is read."""

    request: TriageRequest
    parts: tuple[Part, ...]
    classifier: Classifier | None  # if any part needs its logits
    difficulty_models: DifficultyModels | None
    embedder: Embedder | None
    label: int | None
    target: int | None
    asked: Embedder | None = None  # of the collection that is asked about the photo, too

    @property
    def tail(self) -> EmbedderTail | None:
        """What goes on behind the classifier's first stages in place of the embedder, where that has the same."""
        classifier, embedder = self.classifier, self.embedder
        return None if classifier is None or embedder is not classifier.embedder else classifier.tail


@dataclass(frozen=True)
class PipelineOutputs:
    """What the plan's models gave for one image."""

    logits: Floats | None = None  # (K,)
    gradient: Floats | None = None  # (H, W, C)
    geometry: Geometry | None = None  # of the classifier's input
    difficulty: DifficultyPrediction | None = None
    embedding: Floats | None = None  # (D,)
    signature: bytes | None = None  # encoded, if the embedder verifies
    frame: Frame | None = None  # of an animation
    asked: EmbeddedImage | None = None  # by the collection's embedder


def triage(
    models: Models, data: bytes, request: TriageRequest | None = None, limits: ImageLimits = DEFAULT_LIMITS
) -> TriageResponse:
    """All answers about an image file at once, as /v1/triage gives them.

    Raises what `images.decode` raises, and before it UnknownModel, UnknownLabel, and MalformedRequest if `top_k` is out
    of range.
    """
    return respond(make_plan(models, request or TriageRequest()), data, limits)


def classify(
    models: Models,
    data: bytes,
    model: str | None = None,
    top_k: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> ClassifyResponse:
    """Which label an image has, with the `top_k` best probabilities. Errors as of `triage`."""
    plan = make_plan(models, TriageRequest(("classify",), classifier=model, top_k=top_k))
    return classify_part(plan, run_models(plan, data, limits))


def difficulty(
    models: Models,
    data: bytes,
    model: str | None = None,
    label: str | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> DifficultyResponse:
    """How hard an image is for a classifier, and why. `label`: what the caller takes it for. Errors as of `triage`."""
    plan = make_plan(models, TriageRequest(("difficulty",), classifier=model, label=label))
    return difficulty_part(plan, run_models(plan, data, limits))


def saliency(
    models: Models,
    data: bytes,
    method: Method = "gradient",
    target: str | None = None,
    model: str | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Saliency:
    """What the model relies on for the `target` label, or without one for the label that it predicts.

    `gradient`: the smoothed gradient of the label's logit. `featout`: how strongly FeatOut would remove each
    pixel, by the model's own settings or, if it was trained without FeatOut, by the usual ones. Errors as of `triage`.
    """
    plan = make_plan(models, TriageRequest(("saliency",), classifier=model, method=method, target=target))
    return saliency_part(plan, run_models(plan, data, limits))


def embed(models: Models, data: bytes, model: str | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> EmbedResponse:
    """The embedding of an image, to be compared later. Errors as of `triage`."""
    plan = make_plan(models, TriageRequest(("embed",), embedder=model))
    return embed_part(plan, run_models(plan, data, limits))


def make_plan(models: Models, request: TriageRequest) -> Plan:
    """Raises UnknownModel, UnknownLabel, MalformedRequest."""
    parts = _available(models, request) if request.include is None else request.include
    difficulty_models = models.for_difficulty(request.classifier) if "difficulty" in parts else None
    classifier = models.classifier(request.classifier) if set(parts) - {"embed"} else None
    embedder = models.embedder(request.embedder) if "embed" in parts else None
    label = target = None
    if classifier is not None:
        if request.top_k is not None:
            _check_top_k(request.top_k, classifier)
        label = None if request.label is None else classifier.index_of(request.label)
        target = None if request.target is None else classifier.index_of(request.target)
    return Plan(request, parts, classifier, difficulty_models, embedder, label, target)


def asking(plan: Plan, model: Embedder) -> Plan:
    """The same of a photo that a collection is asked about, too, whose photos that model embeds. It runs once, where it
    is also that of the part `embed`."""
    return replace(plan, embedder=plan.embedder or model, asked=model)


def _available(models: Models, request: TriageRequest) -> tuple[Part, ...]:
    """Those of DEFAULT_PARTS that can be had. A part whose model is named, but isn't there, is among them, so that
    `make_plan` raises."""
    parts: list[Part] = []
    if models.classifiers or request.classifier is not None:
        parts.append("classify")
        if models.has_difficulty(request.classifier):
            parts.append("difficulty")
    if models.embedders or request.embedder is not None:
        parts.append("embed")
    if not parts:
        raise UnknownModel("No model is served here that answers. Export one into the models directory.")
    return tuple(parts)


def kinds_of(parts: Collection[Part]) -> set[Kind]:
    """The kinds of model that answer these parts."""
    kinds: set[Kind] = {"embedder"} if "embed" in parts else set()
    return kinds | {"classifier"} if set(parts) - {"embed"} else kinds


def _check_top_k(top_k: int, classifier: Classifier) -> None:
    count = len(classifier.labels)
    if not 1 <= top_k <= count:
        raise MalformedRequest(f"top_k is {top_k}; {classifier.name} has {count} labels, so it goes from 1 to {count}.")


def run_models(
    plan: Plan, data: bytes, limits: ImageLimits, deadline: float = NO_DEADLINE, aside: Aside = in_turn
) -> PipelineOutputs:
    """Decode an image once, and run each model that the plan needs on it.

    An embedder that shares its first stages with the classifier goes on behind them; another one runs by `aside`,
    beside the others if it can. Raises what `images.decode` raises, and DeadlineExceeded where a model isn't free
    before `deadline`, on the clock of `time.monotonic`.
    """
    classifier, difficulty_models, embedder, asked = plan.classifier, plan.difficulty_models, plan.embedder, plan.asked
    models = [classifier, embedder, asked, difficulty_models and difficulty_models.autoencoder]
    with timed("decode"):
        upright = decode_for(data, [model.manifest.input for model in models if model is not None], limits)
        verifies = any(each is not None and each.verifier is not None for each in (embedder, asked))
        signed = signature.encode(upright) if verifies else None
    outputs = replace(_run_models(plan, upright, deadline, aside), signature=signed, frame=upright.frame)
    if asked is None:
        return outputs
    vector = _required(outputs.embedding) if asked is embedder else _embed(asked, upright, deadline)
    image = EmbeddedImage(vector, None if signed is None or asked.verifier is None else signature.decode(signed))
    return replace(outputs, asked=image)


def _run_models(plan: Plan, upright: Upright, deadline: float, aside: Aside) -> PipelineOutputs:
    classifier, embedder = plan.classifier, plan.embedder
    if classifier is None:
        return PipelineOutputs() if embedder is None else PipelineOutputs(embedding=_embed(embedder, upright, deadline))
    if embedder is None or plan.tail is not None:
        return _classifier_parts(plan, classifier, upright, deadline)
    vector = aside(lambda: _embed(embedder, upright, deadline))
    return replace(_classifier_parts(plan, classifier, upright, deadline), embedding=vector())


def _embed(embedder: Embedder, upright: Upright, deadline: float) -> Floats:
    with timed("decode"):
        prepared = resize(upright, embedder.manifest.input)
    with timed("model"):
        vector: Floats = embedder.embed(prepared.pixels[np.newaxis], deadline)[0]
    return vector


def _classifier_parts(plan: Plan, classifier: Classifier, upright: Upright, deadline: float) -> PipelineOutputs:
    difficulty_models = plan.difficulty_models
    with timed("decode"):
        prepared = resize(upright, classifier.manifest.input)
        autoencoder = None if difficulty_models is None else difficulty_models.autoencoder
        small = None if autoencoder is None else resize(upright, autoencoder.manifest.input).pixels[np.newaxis]
    images, weights, vector, prediction = prepared.pixels[np.newaxis], None, None, None
    if "saliency" in plan.parts:
        weights = np.zeros((1, len(classifier.labels)), np.float32)  # of the predicted label, where none is asked for
        if plan.target is not None:
            weights[0, plan.target] = 1
    with timed("model"):
        outputs = classifier.run(images, weights, deadline)
        if plan.tail is not None and outputs.shared is not None:
            vector = plan.tail.embed(outputs.shared, images, deadline)[0]
        if difficulty_models is not None:
            measured = None if autoencoder is None or small is None else autoencoder.measure(small, deadline)
            side = np.array([upright.smallest_side])
            inputs = SignalInputs(outputs.logits, images, side, measured, outputs.features)
            prediction = difficulty_models.difficulty.predict(inputs, [plan.label])[0]
    gradient = None if outputs.gradient is None else outputs.gradient[0]
    return PipelineOutputs(outputs.logits[0], gradient, prepared.geometry, prediction, vector)


def respond(
    plan: Plan, data: bytes, limits: ImageLimits, deadline: float = NO_DEADLINE, aside: Aside = in_turn
) -> TriageResponse:
    """All parts that the plan asks for, about an image file. Errors as of `run_models`."""
    return assemble(plan, run_models(plan, data, limits, deadline, aside))


def assemble(plan: Plan, outputs: PipelineOutputs) -> TriageResponse:
    """All parts that the plan asks for."""
    parts = plan.parts
    return TriageResponse(
        classify=classify_part(plan, outputs) if "classify" in parts else None,
        difficulty=difficulty_part(plan, outputs) if "difficulty" in parts else None,
        saliency=saliency_part(plan, outputs).answer() if "saliency" in parts else None,
        embed=embed_part(plan, outputs) if "embed" in parts else None,
    )


def classify_part(plan: Plan, outputs: PipelineOutputs) -> ClassifyResponse:
    """The part `classify`, from what the plan's models gave; the next functions make the other parts."""
    answer = classify_response(_required(plan.classifier), _required(outputs.logits), plan.request.top_k)
    return answer.model_copy(update={"frame": outputs.frame})


def difficulty_part(plan: Plan, outputs: PipelineOutputs) -> DifficultyResponse:
    answer = difficulty_response(_required(plan.classifier), _required(outputs.difficulty))
    return answer.model_copy(update={"frame": outputs.frame})


def saliency_part(plan: Plan, outputs: PipelineOutputs) -> Saliency:
    classifier = _required(plan.classifier)
    target = int(_required(outputs.logits).argmax()) if plan.target is None else plan.target
    gradient, geometry = _required(outputs.gradient), _required(outputs.geometry)
    found = saliency_of(classifier, classifier.labels[target], gradient, geometry, plan.request.method)
    return replace(found, frame=outputs.frame)


def embed_part(plan: Plan, outputs: PipelineOutputs) -> EmbedResponse:
    model = _required(plan.embedder)
    signed = None if model.verifier is None else outputs.signature
    answer = embed_response(model, _required(outputs.embedding), signed)
    return answer.model_copy(update={"frame": outputs.frame})


def _required(value: T | None) -> T:
    if value is None:
        raise ValueError("The plan doesn't ask for this part")
    return value
