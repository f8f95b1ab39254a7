"""How fast is the resampling, and how far are its pixels from Pillow's? One run in turns, one thread.

    python -m benchmarks.resamplers --data cats_dogs.tar house_photos.tar [--model exported_models/cats_dogs]

Decoded photos of each size → the model's input, by its own kernel. Prints the median milliseconds of Pillow's resize
and of ours, the ratio with its 10th and 90th percentile over the rounds, how far apart pixels are, and answers: the
largest change of a classifier's first probability, or the least cosine of an embedder's two embeddings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.load_photos import SIZES, load_photos
from phototriage.difficulty.signals import softmax
from phototriage.images import resampling
from phototriage.images.box import Box
from phototriage.images.pixels import ImageLimits, decode_for
from phototriage.images.resampling import resample
from phototriage.models.loading import load_model
from phototriage.runtime.sessions import Floats
from phototriage.settings import Settings
from training.loop.compute import hardware
from training.statistics.turns import measure, ratios

ROUNDS = 40
SAMPLE = Path(__file__).parents[1] / "docs" / "cat.jpg"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resamplers", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="tars of photos; else docs/cat.jpg alone")
    parser.add_argument("--model", type=Path, default=Path("exported_models/cats_dogs"))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    if not resampling.IS_FAST:
        print("fast_image_resize isn't installed here: Pillow does it all", file=sys.stderr)
        return 1
    model = load_model(given.model, Settings(provider="cpu", threads=1))
    rule = model.manifest.input
    size, kernel = (rule.width, rule.height), Image.Resampling[rule.resize.upper()]

    def ours(image: Image.Image) -> Image.Image:
        return resample(image, Box(0, 0, image.height, image.width), rule.height, rule.width, rule.resize)

    def answer(image: Image.Image) -> Floats:
        found: Floats = model.forward(np.asarray(image)[np.newaxis])[0]
        return found

    embeds = model.role == "embedding"
    told = "least cosine" if embeds else "a probability, at most"
    print(f"| photos | Pillow, ms | ours, ms | times as fast | pixels that differ · at most by | {told} |")
    print("| --- | --- | --- | --- | --- | --- |")
    for photos in load_photos(given.data, SAMPLE, list(SIZES)):
        images = [decode_for(jpeg, [rule], ImageLimits()).image for jpeg in photos.jpegs]
        calls = {
            "Pillow": lambda images=images: [image.resize(size, kernel) for image in images],
            "ours": lambda images=images: [ours(image) for image in images],
        }
        seconds = measure(calls, given.rounds)
        ((ratio, low, high),) = ratios(seconds, {"": ("Pillow", "ours")}).values()
        pairs = [(image.resize(size, kernel), ours(image)) for image in images]
        apart = np.stack([np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)) for a, b in pairs])
        answers = [(answer(a), answer(b)) for a, b in pairs]
        if embeds:
            change = min(float(a @ b) for a, b in answers)
        else:
            change = max(abs(float(softmax(a)[0] - softmax(b)[0])) for a, b in answers)
        times = [1000 * float(np.median(seconds[name])) / len(images) for name in calls]
        print(
            f"| {photos.size} | {times[0]:.2f} | {times[1]:.2f} | {ratio:.1f} ({low:.1f} to {high:.1f}) | "
            f"{(apart > 0).mean():.0%} · {apart.max()} | {change:.5f} |"
        )
    print(f"\n{rule.height}×{rule.width}, {rule.resize}, n = {given.rounds} rounds; {hardware(torch.device('cpu'))}")
    print(f"{model.name} {model.manifest.version}, cykooz-resizer {version('cykooz-resizer')}, ", end="")
    print(f"pillow {version('pillow')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
