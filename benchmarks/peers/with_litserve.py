"""LitServe: a LitAPI. Its requests are forms or JSON; a form's file goes to a worker as it is.

It tells a form by the annotation of `decode_request` itself, so annotations must not be postponed here.
"""

import os
from typing import Any

import litserve
from fastapi import Request
from PIL import Image

from benchmarks.peers.classifier import Classifier


class Api(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.classifier = Classifier()

    def decode_request(self, request: Request) -> Any:
        return Image.open(request["image"].file)

    def predict(self, image: Image.Image) -> dict[str, Any]:
        return self.classifier.classify(image)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    workers = int(os.environ["PEER_WORKERS"])
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=workers, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PEER_PORT"]),
        generate_client_file=False,
        log_level="error",
        access_log=False,
    )
