"""What FeatOut costs: a training step with it against the plain step, at the settings of a trained model.

    python -m benchmarks.training_step --model exported_models/cats_dogs [--rounds 15] [--json FILE]

Steps of the two kinds alternate in one process; the medians are compared. The FeatOut step is that of the last epoch,
with all patches, on images that the network has right: the dearest that occurs. The plain step is also taken with the
library's own depthwise backward pass, to tell what `training.networks.depthwise` saves.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from phototriage.model_folder import manifest
from phototriage.saliency.featout_config import FeatOutConfig
from training.classifier.fit import FitSettings
from training.featout.featout import FeatOut
from training.loop.compute import Compute, hardware
from training.loop.run_folder import package_versions
from training.networks.backbones import EfficientNetLite0
from training.networks.classifier import Classifier, NetworkSpec, norms
from training.networks.depthwise import accelerate


def stepper(
    network: Classifier, settings: FitSettings, size: int, featout: FeatOut | None, device: torch.device
) -> Callable[[], None]:
    """A function that takes one training step on a fixed batch of noise."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(settings.batch_size, 3, size, size, generator=generator).to(device)
    pixels = pixels.to(memory_format=torch.channels_last)
    with torch.no_grad():
        labels = network.eval()(pixels).argmax(1)  # right about every image, so all chosen ones are treated
    network.train()
    for module in (*network.stages()[: settings.frozen_stages], *(norms(network) if settings.frozen_norms else ())):
        module.eval()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.0)
    patches = featout.rule.patches if featout else 0
    compute = Compute(device, bf16=settings.bf16)

    def step() -> None:
        with compute.precision():
            erased = featout(network, pixels, labels, patches, generator) if featout else pixels
            logits = network(erased)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def measure(settings: FitSettings, size: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of both steps and of their ratio, over interleaved rounds."""
    network = Classifier(NetworkSpec(backbone="efficientnet_lite0", classes=2))
    assert isinstance(network.backbone, EfficientNetLite0)
    network.backbone.load_packaged()
    network.to(device).to(memory_format=torch.channels_last)
    network.freeze(settings.frozen_stages)
    library = copy.deepcopy(network)
    accelerate(network)
    featout = FeatOut(settings.featout or FeatOutConfig(), settings.erasing_probability)
    steps = {
        "plain": stepper(network, settings, size, None, device),
        "featout": stepper(network, settings, size, featout, device),
        "library": stepper(library, settings, size, None, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if round_number > 0:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    ratios = [b / a for a, b in zip(seconds["plain"], seconds["featout"], strict=True)]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    saved = [b / a for a, b in zip(seconds["plain"], seconds["library"], strict=True)]
    return medians | {"ratio": statistics.median(ratios), "saved": statistics.median(saved)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="an exported classifier, for its training settings")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    described = manifest.read(given.model)
    settings = FitSettings.model_validate(described.training.settings["fit"])
    device = torch.device(given.device)
    result = measure(settings, described.input.height, given.rounds, device)
    print(
        f"FeatOut training step / plain step: {result['ratio']:.2f} "
        f"({result['featout'] * 1e3:.0f} ms / {result['plain'] * 1e3:.0f} ms; batch {settings.batch_size} at "
        f"{described.input.height} px, {settings.frozen_stages} of 9 stages frozen, "
        f"{'bf16' if settings.bf16 else 'float32'}, median of {given.rounds} interleaved rounds; "
        f"torch {package_versions()['torch']}, {hardware(device)})"
    )
    print(f"plain step with the library's depthwise backward pass / plain step: {result['saved']:.2f}")
    if given.json:
        given.json.write_text(json.dumps(result | {"rounds": given.rounds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
