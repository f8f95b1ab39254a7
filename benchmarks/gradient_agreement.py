"""Does the ONNX gradient agree with autograd on photos? Against torch in float32 and in float64.

    python -m benchmarks.gradient_agreement --data photos/ [--run runs/NAME] [--photos 200] [--size 224] [--json FILE]

Passes (exit status 0) when 99 % of the photos have a correlation of at least 0.9999 with float32 autograd, and the
median error against float64 is at most twice torch-float32's own. `training.agreement` says why not all must.
Without --run: EfficientNet-Lite0 with its ImageNet trunk and a new head of seed 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from phototriage.errors import PhototriageError
from phototriage.images import ImageLimits, prepare
from phototriage.input_rule import InputRule
from training.agreement import Images, compare
from training.data import load
from training.export import explainer
from training.gradient_graph import build_onnx
from training.networks import Classifier, EfficientNetLite0, NetworkSpec
from training.options import hardware
from training.run import package_versions, read_run


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient_agreement", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder or tar of photos")
    parser.add_argument("--run", type=Path, help="folder of a finished training")
    parser.add_argument("--size", type=int, default=224, help="without --run")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # float64 depthwise layers go channel by channel; threads for each take minutes
    network, rule = _trained(given.run) if given.run else _lite0(given.size)
    found = compare(
        network,
        explainer(build_onnx(network, rule).SerializeToString()),
        _photos(given.data, rule, given.photos),
    )
    figures = {
        "photos": len(found.correlations),
        "correlation, 1st percentile": float(np.quantile(found.correlations, 0.01)),
        "correlation, least": float(found.correlations.min()),
        "share of at least 0.9999": float((found.correlations >= 0.9999).mean()),
        "relative error against float64, median": float(np.median(found.errors)),
        "the same of torch-float32": float(np.median(found.torch_errors)),
        "relative error against float64, 99th percentile": float(np.quantile(found.errors, 0.99)),
        "the same of torch-float32, 99th percentile": float(np.quantile(found.torch_errors, 0.99)),
        "logits, largest difference relative to the largest": found.logits,
        "hardware": hardware(torch.device("cpu")),
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


def _trained(folder: Path) -> tuple[Classifier, InputRule]:
    run, network = read_run(folder)
    return network, run.input


def _lite0(size: int) -> tuple[Classifier, InputRule]:
    torch.manual_seed(0)
    network = Classifier(NetworkSpec(trunk="efficientnet_lite0", classes=2)).eval()
    assert isinstance(network.trunk, EfficientNetLite0)
    network.trunk.load_packaged()
    rule = InputRule(height=size, width=size, colour="rgb", resize="bilinear", antialias=True, aspect="stretch")
    return network, rule


def _photos(source: Path, rule: InputRule, count: int) -> Images:
    """uint8 (n, H, W, C), as serving would feed them."""
    data = load(source, labelled=False)
    order = np.random.default_rng(0).permutation(len(data))[:count]
    return np.stack([prepare(data.read(int(i)), rule, ImageLimits()).pixels for i in order])


if __name__ == "__main__":
    sys.exit(main())
