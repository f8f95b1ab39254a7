"""The one path from an image file's bytes to its answers: one decode, each model run once, only what is asked.

No HTTP here: the service and the command line call this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from phototriage.common.errors import MalformedRequest, UnknownModel
from phototriage.common.metrics import timed
from phototriage.difficulty.predictor import Judgement
from phototriage.difficulty.signals import Seen
from phototriage.images.geometry import Geometry
from phototriage.images.pixels import ImageLimits, Prepared, decode_for, prepare, resize
from phototriage.images.upright import Upright
from phototriage.models.batching import NO_DEADLINE
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.model_set import Judge, Kind, Models
from phototriage.models.runtime import OnnxModel
from phototriage.models.sessions import Floats
from phototriage.triage.answers import Saliency, classify_answer, difficulty_answer, embed_answer, saliency_of
from phototriage.triage.schemas import ClassifyAnswer, DifficultyAnswer, EmbedAnswer, Method, Part, TriageAnswer

T = TypeVar("T")

Later = Callable[[], Floats]
Aside = Callable[[Later], Later]  # takes work, and gives what waits for its result

DEFAULT_LIMITS = ImageLimits()
DEFAULT_PARTS: tuple[Part, ...] = ("classify", "difficulty", "embed")


def in_turn(work: Later) -> Later:
    """An Aside for a caller with one thread: the work is done when its result is wanted."""
    return work


@dataclass(frozen=True)
class Question:
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
    """A question with its models found and its words checked, before any image is read."""

    question: Question
    parts: tuple[Part, ...]
    classifier: OnnxModel | None  # if any part needs its logits
    judge: Judge | None
    embedder: OnnxModel | None
    label: int | None
    target: int | None

    @property
    def tail(self) -> EmbedderTail | None:
        """What goes on behind the classifier's first stages in place of the embedder, where that has the same."""
        classifier, embedder = self.classifier, self.embedder
        return None if classifier is None or embedder is not classifier.embedder else classifier.tail


@dataclass(frozen=True)
class Looked:
    """What the plan's models gave for one image."""

    logits: Floats | None = None  # (K,)
    gradient: Floats | None = None  # (H, W, C)
    geometry: Geometry | None = None  # of the classifier's input
    judgement: Judgement | None = None
    embedding: Floats | None = None  # (D,)


def triage(
    models: Models, data: bytes, question: Question | None = None, limits: ImageLimits = DEFAULT_LIMITS
) -> TriageAnswer:
    """All answers about an image file at once, as /v1/triage gives them.

    Raises what `images.decode` raises, and before it UnknownModel, UnknownLabel, and MalformedRequest if `top_k` is out
    of range.
    """
    return answer(plan(models, question or Question()), data, limits)


def classify(
    models: Models,
    data: bytes,
    model: str | None = None,
    top_k: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> ClassifyAnswer:
    """Which label an image has, with the `top_k` best probabilities. Errors as of `triage`."""
    asked = plan(models, Question(("classify",), classifier=model, top_k=top_k))
    return classified(asked, look(asked, data, limits))


def difficulty(
    models: Models,
    data: bytes,
    model: str | None = None,
    label: str | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> DifficultyAnswer:
    """How hard an image is for a classifier, and why. `label`: what the caller takes it for. Errors as of `triage`."""
    asked = plan(models, Question(("difficulty",), classifier=model, label=label))
    return assessed(asked, look(asked, data, limits))


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
    pixel, by the model's own settings or, if it was trained without FeatOut, by the usual ones. Errors as of `triage`.
    """
    asked = plan(models, Question(("saliency",), classifier=model, method=method, target=target))
    return explained(asked, look(asked, data, limits))


def embed(models: Models, data: bytes, model: str | None = None, limits: ImageLimits = DEFAULT_LIMITS) -> EmbedAnswer:
    """The embedding of an image, to be compared later. Errors as of `triage`."""
    asked = plan(models, Question(("embed",), embedder=model))
    return embedded(asked, look(asked, data, limits))


def plan(models: Models, question: Question) -> Plan:
    """Raises UnknownModel, UnknownLabel, MalformedRequest."""
    parts = _available(models, question) if question.include is None else question.include
    judge = models.judge(question.classifier) if "difficulty" in parts else None
    classifier = models.get(question.classifier) if set(parts) - {"embed"} else None
    embedder = models.get(question.embedder, "embedder") if "embed" in parts else None
    label = target = None
    if classifier is not None:
        if question.top_k is not None:
            _check_top_k(question.top_k, classifier)
        label = None if question.label is None else classifier.place_of(question.label)
        target = None if question.target is None else classifier.place_of(question.target)
    return Plan(question, parts, classifier, judge, embedder, label, target)


def _available(models: Models, question: Question) -> tuple[Part, ...]:
    """Those of DEFAULT_PARTS that can be had; for a named model that isn't there, all, so that it is told."""
    found = []
    for part in DEFAULT_PARTS:
        named = question.embedder if part == "embed" else question.classifier
        try:
            plan(models, Question((part,), classifier=question.classifier, embedder=question.embedder))
        except UnknownModel:
            if named is not None and part != "difficulty":
                raise
        else:
            found.append(part)
    if not found:
        raise UnknownModel("No model is served here that answers. Export one into the models directory.")
    return tuple(found)


def kinds_of(parts: Collection[Part]) -> set[Kind]:
    """The kinds of model that answer these parts."""
    kinds: set[Kind] = {"embedder"} if "embed" in parts else set()
    return kinds | {"classifier"} if set(parts) - {"embed"} else kinds


def _check_top_k(top_k: int, classifier: OnnxModel) -> None:
    count = len(classifier.labels)
    if not 1 <= top_k <= count:
        raise MalformedRequest(f"top_k is {top_k}; {classifier.name} has {count} labels, so it goes from 1 to {count}.")


def look(
    asked: Plan, data: bytes, limits: ImageLimits, deadline: float = NO_DEADLINE, aside: Aside = in_turn
) -> Looked:
    """Decode an image once, and run each model that the plan needs on it.

    An embedder that shares its first stages with the classifier goes on behind them; another one runs by `aside`,
    beside the others if it can. Raises what `images.decode` raises, and DeadlineExceeded where a model isn't free
    before `deadline`, on the clock of `time.monotonic`.
    """
    classifier, judge, embedder = asked.classifier, asked.judge, asked.embedder
    models = [classifier, embedder, judge and judge.autoencoder]
    with timed("decode"):
        upright = decode_for(data, [model.manifest.input for model in models if model is not None], limits)
    if classifier is None:
        return Looked() if embedder is None else Looked(embedding=_embed(embedder, upright, deadline))
    if embedder is None or asked.tail is not None:
        return _classifier_parts(asked, classifier, upright, deadline)
    vector = aside(lambda: _embed(embedder, upright, deadline))
    return replace(_classifier_parts(asked, classifier, upright, deadline), embedding=vector())


def _embed(embedder: OnnxModel, upright: Upright, deadline: float) -> Floats:
    with timed("decode"):
        prepared = resize(upright, embedder.manifest.input)
    with timed("model"):
        vector: Floats = embedder.embed(prepared.pixels[np.newaxis], deadline)[0]
    return vector


def _classifier_parts(asked: Plan, classifier: OnnxModel, upright: Upright, deadline: float) -> Looked:
    judge = asked.judge
    with timed("decode"):
        prepared = resize(upright, classifier.manifest.input)
        small = None if judge is None else resize(upright, judge.autoencoder.manifest.input).pixels[np.newaxis]
    images, weights, vector, judgement = prepared.pixels[np.newaxis], None, None, None
    if "saliency" in asked.parts:
        weights = np.zeros((1, len(classifier.labels)), np.float32)  # of the predicted label, where none is asked
        if asked.target is not None:
            weights[0, asked.target] = 1
    with timed("model"):
        found = classifier.run(images, weights, deadline)
        if asked.tail is not None and found.shared is not None:
            vector = asked.tail.embed(found.shared, images, deadline)[0]
        if judge is not None and small is not None:
            measured = judge.autoencoder.measure(small, deadline)
            seen = Seen(found.main, *measured, images, np.array([upright.smallest_side]))
            judgement = judge.difficulty.judge(seen, [asked.label])[0]
    gradient = None if found.gradient is None else found.gradient[0]
    return Looked(found.main[0], gradient, prepared.geometry, judgement, vector)


def answer(
    asked: Plan, data: bytes, limits: ImageLimits, deadline: float = NO_DEADLINE, aside: Aside = in_turn
) -> TriageAnswer:
    """All parts that the plan asks for, about an image file. Errors as of `look`."""
    return put_together(asked, look(asked, data, limits, deadline, aside))


def put_together(asked: Plan, looked: Looked) -> TriageAnswer:
    """All parts that the plan asks for."""
    parts = asked.parts
    return TriageAnswer(
        classify=classified(asked, looked) if "classify" in parts else None,
        difficulty=assessed(asked, looked) if "difficulty" in parts else None,
        saliency=explained(asked, looked).answer() if "saliency" in parts else None,
        embed=embedded(asked, looked) if "embed" in parts else None,
    )


def classified(asked: Plan, looked: Looked) -> ClassifyAnswer:
    """The part `classify` of what was looked at for it, as the next ones for theirs."""
    return classify_answer(_there(asked.classifier), _there(looked.logits), asked.question.top_k)


def assessed(asked: Plan, looked: Looked) -> DifficultyAnswer:
    return difficulty_answer(_there(asked.classifier), _there(looked.judgement))


def explained(asked: Plan, looked: Looked) -> Saliency:
    classifier = _there(asked.classifier)
    target = int(_there(looked.logits).argmax()) if asked.target is None else asked.target
    gradient, geometry = _there(looked.gradient), _there(looked.geometry)
    return saliency_of(classifier, classifier.labels[target], gradient, geometry, asked.question.method)


def embedded(asked: Plan, looked: Looked) -> EmbedAnswer:
    return embed_answer(_there(asked.embedder), _there(looked.embedding))


def _there(value: T | None) -> T:
    if value is None:
        raise ValueError("The plan doesn't ask for this part")
    return value


def prepare_for(model: OnnxModel, data: bytes, limits: ImageLimits) -> Prepared:
    """An image file's bytes as that model's input. Raises what `images.decode` raises."""
    with timed("decode"):
        return prepare(data, model.manifest.input, limits)
