"""An embedder, ready to run: images to embeddings, and what of it a classifier's first stages can take over."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakValueDictionary

import onnx

from phototriage.duplicates import layout
from phototriage.model_folder.manifest import Manifest
from phototriage.models.embedder_tail import EmbedderTail
from phototriage.models.explained_graph import ExplainedGraph
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.sessions import Floats, Images
from phototriage.runtime.shared_stages import Cut, find_cut
from phototriage.settings import Settings
from phototriage.verification.verifier import Verifier


class Embedder(ExplainedGraph):
    """A model folder of kind embedder, loaded."""

    def __init__(
        self,
        manifest: Manifest,
        forward: onnx.ModelProto,
        whole: onnx.ModelProto,
        settings: Settings,
        verifier: Verifier | None = None,
    ) -> None:
        """`verifier`: what decides about pairs in place of their similarity, where there is one."""
        super().__init__(manifest, forward, whole, settings)
        self.verifier = verifier
        self._graph, self._settings = forward, settings
        self._tails: WeakValueDictionary[str, EmbedderTail] = WeakValueDictionary()

    def embed(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """`images` uint8 (N, H, W, C) 0–255 → embeddings float32 (N, D), to be given out and compared.

        D is the sum of the manifest's `embedding_parts`, each of length 1: the graph's output, and the layout.
        Raises DeadlineExceeded, as `forward`.
        """
        embeddings = self.forward(images, deadline)
        return embeddings if self.manifest.layout_rescoring is None else layout.append(embeddings, images)

    def cut_with(self, classifier: Manifest, digests: Mapping[str, str]) -> Cut | None:
        """How far it does the same as a classifier, whose forward graph's `digests` are given, if they are fed
        alike."""
        return find_cut(digests, self._graph) if classifier.input == self.manifest.input else None

    def tail_from(self, tensor: str) -> EmbedderTail:
        """What comes behind the tensor; one for all classifiers that need it. Raises ModelFolderError,
        ProviderUnavailable."""
        tail = self._tails.get(tensor)
        if tail is None:
            tail = self._tails[tensor] = EmbedderTail(self.manifest, self._graph, tensor, self._settings)
        return tail
