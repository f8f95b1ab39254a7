"""BentoML as its own examples show it: a PIL image in, a dictionary out, a worker a core."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from PIL.Image import Image

from benchmarks.peers.classifier import Classifier


@bentoml.service(workers=int(os.environ["PEER_WORKERS"]))
class Peer:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api  # type: ignore[untyped-decorator]
    def classify(self, image: Image) -> dict[str, Any]:
        return self.classifier.classify(image)
