"""Model folders, verified and ready to run: ONNX Runtime sessions, outputs by role."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import onnx

from phototriage.common.errors import ModelFolderError, UnknownLabel
from phototriage.duplicates import layout
from phototriage.models import golden, manifest
from phototriage.models.autoencoder import AUTOENCODER_ROLES, Autoencoder
from phototriage.models.batching import NO_DEADLINE
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.forward_graph import forward_only
from phototriage.models.manifest import IMAGES, MODEL_FILE, OUTPUT_WEIGHTS, MainRole, Manifest
from phototriage.models.predicted_label import explains_predicted
from phototriage.models.sessions import Floats, Images, Sessions, batcher, check_inputs
from phototriage.models.shared_stages import Cut, digests, find_cut, part
from phototriage.settings import Settings

LISTED_LABELS = 20  # in a message
SHARED_TOLERANCE = 1e-3  # of an embedding's values; on a CPU 1e-6

logger = logging.getLogger(__name__)


class Answers(NamedTuple):
    """Of N images: the main output (N, K); the gradient (N, H, W, C), where it is asked for; and what the embedder's
    tail goes on from, where the model shares its first stages with one. All float32."""

    main: Floats
    gradient: Floats | None
    shared: Floats | None


class OnnxModel:
    """One model folder, loaded. Runs may come from several threads at once.

    Two sessions: one of the whole graph, which also gives the input gradient, and one of its forward part, since
    a run that fetches the main output of the whole graph still pays for much of the rest. The main output, K columns,
    is a classifier's logits or an embedder's embedding.

    A classifier that begins with the stages of an embedder also gives out what comes behind them, which the embedder's
    `tail` goes on from. That costs it nothing that can be measured.
    """

    def __init__(
        self,
        manifest: Manifest,
        forward: onnx.ModelProto,
        whole: onnx.ModelProto,
        settings: Settings,
        embedder: OnnxModel | None = None,
        digests: Mapping[str, str] | None = None,
    ) -> None:
        """`embedder`: one that a classifier may share its first stages with, as the `digests` of its forward graph will
        show. Raises ModelFolderError, ProviderUnavailable."""
        self.manifest, self._settings = manifest, settings
        self.role: MainRole = manifest.main_role
        self.digests = digests or {}
        self.embedder, self.tail = None, None
        main, shared = manifest.output(self.role).name, []
        cut = None if embedder is None else embedder.cut_with(manifest, self.digests)
        if embedder is not None and cut is not None:
            self.embedder, self.tail, shared = embedder, embedder.tail_from(cut.second), [cut.first]
            forward = part(forward, [main, *shared])
            whole = part(whole, [*(each.name for each in whole.graph.output), *shared])
        self._forward_graph = forward if manifest.kind == "embedder" else None
        self._tails: WeakValueDictionary[str, EmbedderTail] = WeakValueDictionary()
        self.forward_sessions = forwards = Sessions(forward.SerializeToString(), manifest.name, settings)
        self._whole_sessions = wholes = Sessions(whole.SerializeToString(), manifest.name, settings)
        self._outputs = outputs = [main, manifest.output("gradient").name, *shared]
        check_inputs(wholes.shared, manifest)
        # No callback may hold the model: a cycle would keep it in memory when another version has taken its place.
        self._forward = batcher(lambda images: forwards.run([main, *shared], {IMAGES: images}), manifest.name, settings)
        self._whole = batcher(
            lambda images, weights: wholes.run(outputs, {IMAGES: images, OUTPUT_WEIGHTS: weights}),
            manifest.name,
            settings,
        )

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    def place_of(self, label: str) -> int:
        """Of a label among the labels. Raises UnknownLabel, which lists them."""
        if label not in self.labels:
            listed = ", ".join(self.labels[:LISTED_LABELS])
            more = f" and {len(self.labels) - LISTED_LABELS} more" if len(self.labels) > LISTED_LABELS else ""
            raise UnknownLabel(f"{self.name} has no label {label[:64]!r}; it has {listed}{more}.")
        return self.labels.index(label)

    def logits(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """A classifier's `images` uint8 (N, H, W, C) 0–255 → logits float32 (N, classes)."""
        return self.forward(images, deadline)

    def embed(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """An embedder's `images` uint8 (N, H, W, C) 0–255 → embeddings float32 (N, D), to be given out and compared.

        D is the sum of the manifest's `embedding_parts`, each of length 1: the graph's output, and the layout.
        """
        found = self.forward(images, deadline)
        return found if self.manifest.layout_rescoring is None else layout.append(found, images)

    def forward(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """`images` uint8 (N, H, W, C) 0–255 → the main output float32 (N, K), whichever it is.

        Raises DeadlineExceeded where no run begins before `deadline`, on the clock of `time.monotonic`."""
        return self.run(images, None, deadline).main

    def explain(self, images: Images, output_weights: Floats, deadline: float = NO_DEADLINE) -> tuple[Floats, Floats]:
        """`images` uint8 (N, H, W, C), `output_weights` float32 (N, K) → the main output (N, K) and the gradient
        (N, H, W, C) of Σ weights · output with respect to pixels in [0, 1].

        A classifier takes a row of zeros for the label that it predicts itself. With the first part of another image's
        embedding as weights the sum is the cosine of the two.
        """
        answers, gradient = self._whole(images, output_weights, deadline=deadline)[:2]
        return answers, gradient

    def run(self, images: Images, output_weights: Floats | None, deadline: float = NO_DEADLINE) -> Answers:
        """All that one pass gives: as `explain`, or without weights as `forward`."""
        if output_weights is None:
            main, *shared = self._forward(images, deadline=deadline)
            return Answers(main, None, shared[0] if shared else None)
        main, gradient, *shared = self._whole(images, output_weights, deadline=deadline)
        return Answers(main, gradient, shared[0] if shared else None)

    def cut_with(self, classifier: Manifest, digests: Mapping[str, str]) -> Cut | None:
        """How far an embedder does the same as that classifier, if they are fed alike."""
        if self._forward_graph is None or classifier.kind != "classifier" or classifier.input != self.manifest.input:
            return None
        return find_cut(digests, self._forward_graph)

    def tail_from(self, tensor: str) -> EmbedderTail:
        """Of an embedder, what comes behind the tensor; one for all classifiers that need it. Errors as of a load."""
        tail = self._tails.get(tensor)
        if tail is None:
            if self._forward_graph is None:
                raise ValueError(f"{self.name} is no embedder")
            tail = self._tails[tensor] = EmbedderTail(self.manifest, self._forward_graph, tensor, self._settings)
        return tail

    def shares_rightly(self) -> bool:
        """Whether the tail answers what the embedder does by itself."""
        if self.embedder is None or self.tail is None:
            return True
        rule = self.manifest.input
        images = np.random.default_rng(0).integers(0, 256, (1, rule.height, rule.width, rule.channels), np.uint8)
        shared = self.run(images, None).shared
        if shared is None:
            return False
        return bool(np.abs(self.tail.embed(shared, images) - self.embedder.embed(images)).max() <= SHARED_TOLERANCE)

    def warm_up(self) -> None:
        rule = self.manifest.input
        images = np.zeros((1, rule.height, rule.width, rule.channels), np.uint8)
        weights = np.ones((1, self.manifest.width), np.float32)
        self.forward_sessions.warm_up([self._outputs[0], *self._outputs[2:]], {IMAGES: images})
        self._whole_sessions.warm_up(self._outputs, {IMAGES: images, OUTPUT_WEIGHTS: weights})
        shared = self.run(images, None).shared
        if self.tail is not None and shared is not None:
            self.tail.warm_up(shared)


def load_model(folder: Path, settings: Settings, embedder: OnnxModel | None = None) -> OnnxModel:
    """Verify a model folder's hashes, load it, replay its golden vectors, warm it up. `embedder`: one that a classifier
    may share its first stages with.

    Raises ModelFolderError, which names the file and the difference, also for an autoencoder; or ProviderUnavailable.
    """
    with _unchanged(folder) as contents:
        contents.main_role  # noqa: B018 — raises for a kind that can't be loaded like this
        return _load_explained(contents, folder, settings, embedder)


def load_autoencoder(folder: Path, settings: Settings) -> Autoencoder:
    """As `load_model`, of an autoencoder, and for no other kind."""
    with _unchanged(folder) as contents:
        if contents.kind != "autoencoder":
            raise ModelFolderError(f"{contents.name} is of kind {contents.kind!r}, not an autoencoder")
        return _load_autoencoder(contents, folder, settings)


def load_any(folder: Path, settings: Settings, embedder: OnnxModel | None = None) -> OnnxModel | Autoencoder:
    """Either, by the kind that the manifest says."""
    with _unchanged(folder) as contents:
        if contents.kind == "autoencoder":
            return _load_autoencoder(contents, folder, settings)
        return _load_explained(contents, folder, settings, embedder)


@contextmanager
def _unchanged(folder: Path) -> Iterator[Manifest]:
    """The verified manifest of a folder that is being read. Raises ModelFolderError if it is another one by the end, as
    when an export puts a new version into its place meanwhile, or if it is gone."""
    try:
        contents = _verified(folder)
        yield contents
        now = manifest.read(folder).version
    except OSError as error:
        raise ModelFolderError(f"{folder.name} can't be read: {error.strerror}. Try again") from error
    if now != contents.version:
        raise ModelFolderError(f"{folder.name} was replaced while it was read, {contents.version} by {now}. Try again")


def _verified(folder: Path) -> Manifest:
    contents = manifest.read(folder)
    for needed in (MODEL_FILE, golden.FILE_NAME):
        if needed not in contents.files:
            raise ModelFolderError(f"{folder.name}/{manifest.FILE_NAME} names no {needed}: export the model again")
    return contents


def _load_autoencoder(contents: Manifest, folder: Path, settings: Settings) -> Autoencoder:
    model = Autoencoder(contents, (folder / MODEL_FILE).read_bytes(), settings)
    with _golden_of(folder):
        golden.replay_answers(model.run, AUTOENCODER_ROLES, folder)
    model.warm_up()
    return model


def _load_explained(contents: Manifest, folder: Path, settings: Settings, embedder: OnnxModel | None) -> OnnxModel:
    main = contents.output(contents.main_role).name
    try:
        whole = onnx.load_model_from_string((folder / MODEL_FILE).read_bytes())
        forward = forward_only(whole, (main,))
        known = None
        if contents.kind == "classifier":
            known = digests(forward)
            whole = explains_predicted(whole, OUTPUT_WEIGHTS, main, contents.width)
    except Exception as error:  # protobuf and onnx raise what they like at a file that was never a model
        raise ModelFolderError(f"{folder.name}/{MODEL_FILE} is not a model that can be read: {error}") from error
    model = OnnxModel(contents, forward, whole, settings, embedder, known)
    if not model.shares_rightly():
        logger.warning("%s and its embedder begin alike, but answer otherwise together: each runs alone", folder.name)
        model = OnnxModel(contents, forward, whole, settings, None, known)
    with _golden_of(folder):
        golden.replay(model, folder)
    model.warm_up()
    return model


@contextmanager
def _golden_of(folder: Path) -> Iterator[None]:
    """Any failure to run the folder's golden vectors as ModelFolderError."""
    try:
        yield
    except ModelFolderError:
        raise
    except Exception as error:  # vectors of another shape, at which ONNX Runtime raises errors of its own
        raise ModelFolderError(f"{folder.name}/{golden.FILE_NAME} can't be run: {error}") from error
