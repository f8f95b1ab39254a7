"""MLServer: a custom runtime of the Open Inference Protocol, whose JSON carries the photo in base64."""

from __future__ import annotations

import io

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from PIL import Image

from benchmarks.peers.classifier import Classifier


class Runtime(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self._classifier = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (data,) = Base64Codec.decode_input(payload.inputs[0])
        with Image.open(io.BytesIO(data)) as file:
            found = self._classifier.classify(file)
        probabilities = np.array([[found["probabilities"][label] for label in self._classifier.labels]])
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", [found["label"]]),
                NumpyCodec.encode_output("probabilities", probabilities),
            ],
        )
