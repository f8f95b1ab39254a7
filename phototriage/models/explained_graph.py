"""A graph whose input gradient is one of its outputs, ready to run: what classifiers and embedders have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from phototriage.model_folder.graph_check import check_inputs
from phototriage.model_folder.manifest import IMAGES, OUTPUT_WEIGHTS, MainRole, Manifest
from phototriage.runtime.batching import NO_DEADLINE
from phototriage.runtime.sessions import Floats, Images, Sessions, batcher
from phototriage.settings import Settings


class ExplainedGraph:
    """One model folder, loaded. Runs may come from several threads at once.

    Two sessions: one of the whole graph, which also gives the input gradient, and one of its forward part, since
    a run that fetches the main output of the whole graph still pays for much of the rest. The main output, K columns,
    is a classifier's logits or an embedder's embedding.
    """

    def __init__(
        self,
        manifest: Manifest,
        forward: onnx.ModelProto,
        whole: onnx.ModelProto,
        settings: Settings,
        further: Sequence[str] = (),
    ) -> None:
        """forward, whole: the graph's forward part, and all of it. further: tensors that both give out behind the main
        output, and the gradient. Raises ModelFolderError, ProviderUnavailable."""
        self.manifest = manifest
        self.role: MainRole = manifest.main_role
        main = manifest.output(self.role).name
        self._forward_outputs = forward_outputs = [main, *further]
        self._outputs = outputs = [main, manifest.output("gradient").name, *further]
        self.forward_sessions = forwards = Sessions(forward.SerializeToString(), manifest.name, settings)
        self._whole_sessions = wholes = Sessions(whole.SerializeToString(), manifest.name, settings)
        check_inputs(wholes.shared, manifest)
        # No callback may hold the model: a cycle would keep it in memory when another version has taken its place.
        self._forward = batcher(lambda images: forwards.run(forward_outputs, {IMAGES: images}), manifest.name, settings)
        self._whole = batcher(
            lambda images, weights: wholes.run(outputs, {IMAGES: images, OUTPUT_WEIGHTS: weights}),
            manifest.name,
            settings,
        )

    @property
    def name(self) -> str:
        return self.manifest.name

    def forward(self, images: Images, deadline: float = NO_DEADLINE) -> Floats:
        """`images` uint8 (N, H, W, C) 0–255 → the main output float32 (N, K), whichever it is.

        Raises DeadlineExceeded where no run begins before `deadline`, on the clock of `time.monotonic`."""
        main: Floats = self._forward(images, deadline=deadline)[0]
        return main

    def explain(self, images: Images, output_weights: Floats, deadline: float = NO_DEADLINE) -> tuple[Floats, Floats]:
        """`images` uint8 (N, H, W, C), `output_weights` float32 (N, K) → the main output (N, K) and the gradient
        (N, H, W, C) of Σ weights · output with respect to pixels in [0, 1]. Raises DeadlineExceeded, as `forward`.

        A classifier takes a row of zeros for the label that it predicts itself. With the first part of another image's
        embedding as weights the sum is the cosine of the two.
        """
        main, gradient = self._whole(images, output_weights, deadline=deadline)[:2]
        return main, gradient

    def warm_up(self) -> None:
        config = self.manifest.input
        images = np.zeros((1, config.height, config.width, config.channels), np.uint8)
        weights = np.ones((1, self.manifest.width), np.float32)
        self.forward_sessions.warm_up(self._forward_outputs, {IMAGES: images})
        self._whole_sessions.warm_up(self._outputs, {IMAGES: images, OUTPUT_WEIGHTS: weights})
