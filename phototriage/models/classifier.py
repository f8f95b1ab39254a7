"""A classifier, ready to run: images to logits and gradients, and to what an embedder's tail goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx

from phototriage.common.errors import UnknownLabel
from phototriage.difficulty.signals import Features
from phototriage.model_folder.manifest import Manifest
from phototriage.models.embedder import Embedder
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.explained_graph import ExplainedGraph
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.feature_tensors import FeatureTensors, with_features
from phototriage.runtime.sessions import Floats, Images
from phototriage.runtime.shared_stages import part
from phototriage.settings import Settings

LISTED_LABELS = 20  # in a message
SHARED_TOLERANCE = 1e-3  # of an embedding's values; on a CPU 1e-6


class ClassifierOutputs(NamedTuple):
    """Of N images, float32: logits (N, K); the gradient (N, H, W, C), where it is asked for; the tensor that the
    embedder's tail goes on from, where the classifier shares its first stages with one; and features, where its
    difficulty is answered by them."""

    logits: Floats
    gradient: Floats | None
    shared: Floats | None = None
    features: Features | None = None


class SharedStages(NamedTuple):
    """That a classifier's first stages are an embedder's, too: the classifier's tensor that comes behind them, and the
    rest of the embedder."""

    embedder: Embedder
    tensor: str
    tail: EmbedderTail


def shared_with(embedder: Embedder | None, manifest: Manifest, digests: Mapping[str, str]) -> SharedStages | None:
    """What a classifier shares with the embedder, if anything. Raises ModelFolderError, ProviderUnavailable."""
    cut = None if embedder is None else embedder.cut_with(manifest, digests)
    if embedder is None or cut is None:
        return None
    return SharedStages(embedder, cut.first, embedder.tail_from(cut.second))


class Classifier(ExplainedGraph):
    """A model folder of kind classifier, loaded.

    One that begins with the stages of an embedder also gives out what comes behind them, which the embedder's tail goes
    on from. That costs it nothing that can be measured.
    """

    def __init__(
        self,
        manifest: Manifest,
        forward: onnx.ModelProto,
        whole: onnx.ModelProto,
        settings: Settings,
        digests: Mapping[str, str],
        shared: SharedStages | None = None,
    ) -> None:
        """digests: of the forward graph, by which it is found what is shared with another embedder."""
        further = [] if shared is None else [shared.tensor]
        answers = None if manifest.difficulty is None else manifest.difficulty.answers
        self._has_features = answers is not None
        if answers is not None:
            tensors = FeatureTensors(answers.inner, answers.last)
            (forward, names), (whole, _) = with_features(forward, tensors), with_features(whole, tensors)
            further += names
        if further:
            forward = part(forward, [manifest.output("logits").name, *further])
            whole = part(whole, [*(each.name for each in whole.graph.output), *further])
        super().__init__(manifest, forward, whole, settings, further)
        self.digests, self._shared = digests, shared

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    @property
    def embedder(self) -> Embedder | None:
        """The embedder that it shares its first stages with."""
        return None if self._shared is None else self._shared.embedder

    @property
    def tail(self) -> EmbedderTail | None:
        """What goes on behind the shared stages to that embedder's embeddings."""
        return None if self._shared is None else self._shared.tail

    def index_of(self, label: str) -> int:
        """Of a label among the labels. Raises UnknownLabel, which lists them."""
        if label not in self.labels:
            listed = ", ".join(self.labels[:LISTED_LABELS])
            more = f" and {len(self.labels) - LISTED_LABELS} more" if len(self.labels) > LISTED_LABELS else ""
            raise UnknownLabel(f"{self.name} has no label {label[:64]!r}; it has {listed}{more}.")
        return self.labels.index(label)

    def logits(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """`images` uint8 (N, H, W, C) 0–255 → logits float32 (N, K). Raises DeadlineExceeded, as `forward`."""
        return self.forward(images, deadline)

    def run(self, images: Images, output_weights: Floats | None, deadline: float = NO_DEADLINE) -> ClassifierOutputs:
        """All that one pass gives: as `explain`, or without weights as `forward`."""
        if output_weights is None:
            logits, *further = self._forward(images, deadline=deadline)
            return self._outputs_of(logits, None, further)
        logits, gradient, *further = self._whole(images, output_weights, deadline=deadline)
        return self._outputs_of(logits, gradient, further)

    def _outputs_of(self, logits: Floats, gradient: Floats | None, further: list[Floats]) -> ClassifierOutputs:
        shared = None if self._shared is None else further[0]
        return ClassifierOutputs(logits, gradient, shared, Features(*further[-2:]) if self._has_features else None)

    def shares_rightly(self) -> bool:
        """Whether the tail answers what the embedder does by itself."""
        if self._shared is None:
            return True
        config = self.manifest.input
        images = np.random.default_rng(0).integers(0, 256, (1, config.height, config.width, config.channels), np.uint8)
        tensor = self.run(images, None).shared
        if tensor is None:
            return False
        difference = self._shared.tail.embed(tensor, images) - self._shared.embedder.embed(images)
        return bool(np.abs(difference).max() <= SHARED_TOLERANCE)

    def warm_up(self) -> None:
        super().warm_up()
        config = self.manifest.input
        tensor = self.run(np.zeros((1, config.height, config.width, config.channels), np.uint8), None).shared
        if self._shared is not None and tensor is not None:
            self._shared.tail.warm_up(tensor)
