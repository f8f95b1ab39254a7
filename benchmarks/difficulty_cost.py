"""What difficulty costs beside a plain classification, as ratios from one run.

    python -m benchmarks.difficulty_cost --model cats_dogs [--models exported_models] [--rounds 200]

`difficulty` and `classify` are what the service does with a file's bytes, in one process; the photo is `docs/cat.jpg`
at its own size, at 500×375 and at 180×180, saved as JPEG. The calls take turns; a ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from phototriage.common.errors import PhototriageError
from phototriage.models.model_set import Models, load_models
from phototriage.settings import Settings
from phototriage.triage import pipeline
from training.loop.compute import hardware
from training.statistics.turns import measure, ratios

SIZES = ((451, 300), (500, 375), (180, 180))


def photos(path: Path) -> dict[str, bytes]:
    """The photo at each of SIZES, as JPEG."""
    found = {}
    with Image.open(path) as image:
        for size in SIZES:
            file = io.BytesIO()
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
            found[f"{size[0]}×{size[1]}"] = file.getvalue()
    return found


def calls(models: Models, name: str, photo: bytes) -> dict[str, Callable[[], object]]:
    return {
        "difficulty": lambda: pipeline.difficulty(models, photo, name),
        "classify": lambda: pipeline.classify(models, photo, name),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.difficulty_cost", description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="name of a classifier that has a difficulty score")
    parser.add_argument("--models", type=Path, default=Path("exported_models"))
    parser.add_argument("--photo", type=Path, default=Path("docs/cat.jpg"))
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args(arguments)
    settings = Settings(provider="cpu", models_directory=given.models)
    try:
        models = load_models(settings)
        models.for_difficulty(given.model)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    for size, photo in photos(given.photo).items():
        seconds = measure(calls(models, given.model, photo), given.rounds)
        ((median, low, high),) = ratios(seconds, {"": ("difficulty", "classify")}).values()
        told = ", ".join(f"{name} {np.median(values) * 1e3:.2f} ms" for name, values in seconds.items())
        print(f"difficulty / classify at {size}: {median:.3f} ({low:.3f} to {high:.3f}); {told}")
    machine = hardware().split(",")[0]
    versions = f"onnxruntime {onnxruntime.__version__}, {machine}"
    print(f"batch 1, {settings.threads} threads, n = {given.rounds} rounds; {versions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
