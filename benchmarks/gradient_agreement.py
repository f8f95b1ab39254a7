"""Does the ONNX gradient agree with autograd on photos? Against torch in float32 and in float64.

    python -m benchmarks.gradient_agreement --data photos/ [--model exported_models/NAME] [--photos 200] [--json FILE]

Passes (exit status 0) when 99 % of the photos have a correlation of at least 0.9999 with float32 autograd, and the
median error against float64 is at most twice torch-float32's own. `training.export.agreement` says why not all must;
how often torch agrees with itself, in its two memory layouts, is printed beside it.
With --model the weights are those of the exported file, otherwise EfficientNet-Lite0's with a new head of seed 0.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phototriage.common.errors import PhototriageError
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, prepare
from phototriage.model_folder.golden import correlation
from phototriage.model_folder.manifest import MODEL_FILE
from training.data.loading import load
from training.export.agreement import Images, compare
from training.export.model_folder import explainer
from training.export.reimport import read_exported
from training.featout.featout import input_gradients
from training.gradient_graph.graph import build_onnx
from training.loop.compute import hardware
from training.loop.run_folder import package_versions
from training.networks.backbones import EfficientNetLite0
from training.networks.classifier import Classifier, NetworkSpec


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient_agreement", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--model", type=Path, help="folder of an exported model")
    parser.add_argument("--size", type=int, default=224, help="without --model")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # float64 depthwise layers go channel by channel; threads for each take minutes
    network: nn.Module
    if given.model:
        described, network = read_exported(given.model)
        rule, role, graph = described.input, described.main_role, (given.model / MODEL_FILE).read_bytes()
    else:
        network, rule = _lite0(given.size)
        role, graph = "logits", build_onnx(network, rule).SerializeToString()
    photos = _photos(given.data, rule, given.photos)
    found = compare(network, explainer(graph, role), photos)
    own = _torch_with_itself(network, photos)
    figures = {
        "photos": len(found.correlations),
        "correlation, 1st percentile": float(np.quantile(found.correlations, 0.01)),
        "correlation, least": float(found.correlations.min()),
        "share of at least 0.9999": float((found.correlations >= 0.9999).mean()),
        "the same, torch with itself in its other memory layout": float((own >= 0.9999).mean()),
        "relative error against float64, median": float(np.median(found.errors)),
        "the same of torch-float32": float(np.median(found.torch_errors)),
        "relative error against float64, 99th percentile": float(np.quantile(found.errors, 0.99)),
        "the same of torch-float32, 99th percentile": float(np.quantile(found.torch_errors, 0.99)),
        "logits, largest difference relative to the largest": found.logits,
        "hardware": hardware(),
        "packages": package_versions(),
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    try:
        found.check()
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    return 0


def _torch_with_itself(network: nn.Module, images: Images) -> NDArray[np.float64]:
    """(n,) correlation of torch's gradients in its two memory layouts, batches of 8, of the largest output."""
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    found = []
    for start in range(0, len(images), 8):
        pixels = torch.from_numpy(images[start : start + 8].transpose(0, 3, 1, 2).copy()) / 255
        with torch.no_grad():
            targets = network(pixels).argmax(1)
        one, _ = input_gradients(network, pixels, targets)
        two, _ = input_gradients(other, pixels.to(memory_format=torch.channels_last), targets)
        found += [correlation(a, b) for a, b in zip(one.numpy(), two.numpy(), strict=True)]
    return np.array(found)


def _lite0(size: int) -> tuple[nn.Module, InputConfig]:
    torch.manual_seed(0)
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2)).eval()
    assert isinstance(network.backbone, EfficientNetLite0)
    network.backbone.load_packaged()
    rule = InputConfig(height=size, width=size, colour="rgb", resize="bilinear", antialias=True, aspect="stretch")
    return network, rule


def _photos(source: Path, rule: InputConfig, count: int) -> Images:
    """uint8 (n, H, W, C), as serving would feed them."""
    data = load(source, labelled=False)
    order = np.random.default_rng(0).permutation(len(data))[:count]
    return np.stack([prepare(data.read(int(i)), rule, ImageLimits()).pixels for i in order])


if __name__ == "__main__":
    sys.exit(main())
