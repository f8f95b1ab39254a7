"""What every peer does with an image: Pillow decodes and resizes, ONNX Runtime answers, as their examples do.

One thread a session, as many processes as cores: with more threads the sessions take the cores from one another.
The environment names the graph (`PEER_MODEL`) and the labels (`PEER_LABELS`, with commas).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image


class Classifier:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        model = os.environ["PEER_MODEL"]
        self.labels = os.environ["PEER_LABELS"].split(",")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        _, self._height, self._width, _ = self._session.get_inputs()[0].shape

    def classify(self, image: Image.Image) -> dict[str, Any]:
        """The label, and the probability of each."""
        size = (self._width, self._height)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        logits = self._session.run(["logits"], {"images": pixels[np.newaxis]})[0][0]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        probabilities = dict(zip(self.labels, map(float, shares), strict=True))
        return {"label": self.labels[int(logits.argmax())], "probabilities": probabilities}
