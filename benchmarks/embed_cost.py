"""What embedding a photo costs in the service's own code, as ratios from one run.

    python -m benchmarks.embed_cost --model exported_models/near_duplicates --photo docs/cat.jpg [--rounds 200]

`embed` is `phototriage.triage.embed`, from a file's bytes to the answer; `raw` is decoding, resizing and one call of
ONNX Runtime, and nothing else; `forward` is the model alone, `classifier` the forward part of an untrained
EfficientNet-Lite0 classifier fed the same pixels. The four take turns; a ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from phototriage.common.errors import PhototriageError
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, prepare
from phototriage.model_folder.manifest import IMAGES, MODEL_FILE
from phototriage.models.loading import load_embedder
from phototriage.models.model_set import Models
from phototriage.runtime.forward_graph import forward_only
from phototriage.runtime.sessions import open_session
from phototriage.settings import Settings
from phototriage.triage import pipeline
from training.gradient_graph.graph import build_onnx
from training.loop.compute import hardware
from training.networks.classifier import Classifier, NetworkSpec
from training.statistics.turns import measure, ratios

RATIOS = {
    "embed in the service / decode and raw ONNX Runtime call": ("embed", "raw"),
    "embedder's forward pass / Lite0 classifier's": ("forward", "classifier"),
}


def lite0_classifier(rule: InputConfig) -> bytes:
    """The forward graph of a classifier of two classes for that input, serialised; what its weights are costs
    nothing."""
    torch.manual_seed(0)
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2)).eval()
    return bytes(forward_only(build_onnx(network, rule)).SerializeToString())


def calls(folder: Path, photo: bytes, settings: Settings) -> dict[str, Callable[[], object]]:
    """What is timed, by name. Raises ModelFolderError."""
    model = load_embedder(folder, settings)
    models = Models({}, {model.name: model}, {"embedder": model.name})
    rule, limits = model.manifest.input, ImageLimits()
    output = model.manifest.output("embedding").name
    forward = forward_only(onnx.load(folder / MODEL_FILE), (output,)).SerializeToString()
    session = open_session(forward, model.name, settings)
    classifier = open_session(lite0_classifier(rule), "classifier", settings)
    pixels = prepare(photo, rule, limits).pixels[np.newaxis]
    return {
        "embed": lambda: pipeline.embed(models, photo),
        "raw": lambda: session.run([output], {IMAGES: prepare(photo, rule, limits).pixels[np.newaxis]}),
        "forward": lambda: session.run([output], {IMAGES: pixels}),
        "classifier": lambda: classifier.run(["logits"], {IMAGES: pixels}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embed_cost", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported embedder")
    parser.add_argument("--photo", type=Path, default=Path("docs/cat.jpg"))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args(arguments)
    settings = Settings(provider="cpu")
    torch.set_num_threads(1)  # torch only builds the classifier, and its pool would be in ONNX Runtime's way
    try:
        seconds = measure(calls(given.model, given.photo.read_bytes(), settings), given.rounds)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    found = ratios(seconds, RATIOS)
    for name, (median, low, high) in found.items():
        print(f"{name}: {median:.3f} ({low:.3f} to {high:.3f})")
    milliseconds = ", ".join(f"{name} {np.median(values) * 1e3:.2f} ms" for name, values in seconds.items())
    print(
        f"{milliseconds}; {given.photo.name}, batch 1, {settings.threads} threads, n = {given.rounds} rounds; "
        f"onnxruntime {onnxruntime.__version__}, {hardware(torch.device('cpu')).split(',')[0]}"
    )
    if given.json:
        medians = {name: float(np.median(values)) for name, values in seconds.items()}
        given.json.write_text(json.dumps({"seconds": medians, "ratios": found}, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
