"""Whether a folder's graph is the one that its manifest describes."""

from __future__ import annotations

import onnxruntime

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder.manifest import IMAGES, MODEL_FILE, OUTPUT_WEIGHTS, Manifest


def check_inputs(session: onnxruntime.InferenceSession, manifest: Manifest) -> None:
    """Raise ModelFolderError where the graph's inputs and outputs aren't those of the manifest."""
    config = manifest.input
    expected: dict[str, tuple[str, list[int]]] = {
        IMAGES: ("tensor(uint8)", [config.height, config.width, config.channels])
    }
    if manifest.kind != "autoencoder":
        expected[OUTPUT_WEIGHTS] = ("tensor(float)", [manifest.width])
    actual = {each.name: (each.type, list(each.shape[1:])) for each in session.get_inputs()}
    if actual != expected:
        raise ModelFolderError(
            f"{manifest.name}/{MODEL_FILE} takes {actual}, the manifest says {expected} behind the batch dimension"
        )
    outputs = [each.name for each in session.get_outputs()]
    for output in manifest.outputs:
        if output.name not in outputs:
            raise ModelFolderError(
                f"{manifest.name}/{MODEL_FILE} has no output {output.name!r}, only {', '.join(outputs)}"
            )
