"""What is left of an embedder where a classifier has computed the first stages that both have in common."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from phototriage.duplicates import layout
from phototriage.model_folder.manifest import Manifest
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.sessions import Sessions, batcher
from phototriage.runtime.shared_stages import part
from phototriage.settings import Settings


class EmbedderTail:
    """An embedder from a tensor of its graph on. Runs may come from several threads at once."""

    def __init__(self, manifest: Manifest, forward: onnx.ModelProto, tensor: str, settings: Settings) -> None:
        """manifest, forward: of the embedder. Raises ModelFolderError, ProviderUnavailable."""
        self._has_layout = manifest.layout_rescoring is not None
        main = manifest.output("embedding").name
        graph = part(forward, [main], tensor).SerializeToString()
        self._sessions = sessions = Sessions(graph, manifest.name, settings)
        self._run = batcher(lambda shared: sessions.run([main], {tensor: shared}), manifest.name, settings)
        self._inputs, self._outputs = tensor, [main]

    def embed(
        self, shared: NDArray[np.float32], images: NDArray[np.uint8], deadline: float = NO_DEADLINE
    ) -> NDArray[np.float32]:
        """`shared`: the tensor for `images` uint8 (N, H, W, C) 0–255 → embeddings float32 (N, D), as `Embedder.embed`
        gives them, within 1e-5. Raises DeadlineExceeded."""
        embeddings: NDArray[np.float32] = self._run(shared, deadline=deadline)[0]
        return layout.append(embeddings, images) if self._has_layout else embeddings

    def warm_up(self, shared: NDArray[np.float32]) -> None:
        self._sessions.warm_up(self._outputs, {self._inputs: shared})
