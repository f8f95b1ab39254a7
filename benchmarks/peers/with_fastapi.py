"""FastAPI: a `def` endpoint, which runs in its thread pool, and an UploadFile."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, UploadFile
from PIL import Image

from benchmarks.peers.classifier import Classifier

application = FastAPI()
classifier = Classifier()


@application.post("/classify")  # type: ignore[untyped-decorator]
def classify(image: UploadFile) -> dict[str, Any]:
    with Image.open(image.file) as file:
        return classifier.classify(file)
