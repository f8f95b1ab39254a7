"""Whether a GPU gives the answers that the CPU gives, and how much faster: `python -m deploy.check_gpu`, or
`make check-gpu`, which makes an environment with CUDA's libraries first.

Every model of the models directory is loaded on both, which replays its golden vectors on both. Then drawn images go
through the two, and outputs have to agree as closely as golden vectors do: answers within ANSWER_TOLERANCE of the
largest one, each image's gradient with a correlation of LEAST_CORRELATION. Images a second are of the models alone.

Exits with 1 and says what is missing where there is no GPU, or where the models would run on the CPU all the same.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from phototriage.common.errors import ModelFolderError
from phototriage.model_folder import manifest
from phototriage.model_folder.golden import ANSWER_TOLERANCE, LEAST_CORRELATION, correlation
from phototriage.models.autoencoder import AUTOENCODER_ROLES, Autoencoder
from phototriage.models.loading import load_any
from phototriage.models.model_set import Loaded
from phototriage.runtime import providers
from phototriage.settings import Settings, available_cores
from training.data.drawn_images import drawn_images

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

DRAWN = 32
BATCHES = (1, 16)
WARM_UP_RUNS = 3
NAME_BYTES = 100


class Disagreement(Exception):
    """A model's output on the GPU isn't the CPU's. The message names it, the difference and the limit."""


@dataclass(frozen=True)
class Agreement:
    """The worst of all images: difference of answers as a share of the largest one, correlation of gradients."""

    difference: float
    least_correlation: float | None  # of a model without a gradient


def images_for(model: Loaded, count: int) -> Images:
    rule = model.manifest.input
    return drawn_images(count, rule.height, rule.width, rule.channels, seed=1)


def compare(reference: Loaded, other: Loaded, count: int = DRAWN) -> Agreement:
    """The outputs of a model that is loaded twice, on drawn images. Raises Disagreement."""
    images = images_for(reference, count)
    least = None
    if isinstance(reference, Autoencoder) or isinstance(other, Autoencoder):
        difference = max(_differences(reference, other, images).values())
    else:
        answers = reference.forward(images)
        # Of the label that the CPU predicts, or along the CPU's embedding: the same question to both.
        weights = np.eye(answers.shape[1], dtype=np.float32)[answers.argmax(1)]
        expected, gradients = reference.explain(images, weights)
        found, other_gradients = other.explain(images, weights)
        difference = max(_difference(other.forward(images), answers), _difference(found, expected))
        least = min(correlation(one, two) for one, two in zip(other_gradients, gradients, strict=True))
    if not difference <= ANSWER_TOLERANCE:
        raise Disagreement(
            f"{reference.name}: answers differ by {difference:.3g} of the largest, the limit is {ANSWER_TOLERANCE}"
        )
    if least is not None and not least >= LEAST_CORRELATION:
        raise Disagreement(
            f"{reference.name}: a gradient has correlation {least:.4f} with the CPU's, the least is {LEAST_CORRELATION}"
        )
    return Agreement(difference, least)


def _differences(reference: Loaded, other: Loaded, images: Images) -> dict[str, float]:
    if not (isinstance(reference, Autoencoder) and isinstance(other, Autoencoder)):
        raise TypeError(f"{reference.name} and {other.name} are of two kinds")
    expected, found = reference.run(images), other.run(images)
    return {role: _difference(found[role], expected[role]) for role in AUTOENCODER_ROLES}


def _difference(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def calls(model: Loaded) -> dict[str, Callable[[Images], object]]:
    """What a server has the model do, by name."""
    if isinstance(model, Autoencoder):
        return {"reconstruct": model.run}
    explained, width = model, model.manifest.width
    return {
        "answer": explained.forward,
        "answer and gradient": lambda images: explained.explain(images, np.ones((len(images), width), np.float32)),
    }


def images_per_second(call: Callable[[Images], object], images: Images, seconds: float) -> float:
    for _ in range(WARM_UP_RUNS):
        call(images)
    runs, begin = 0, perf_counter()
    while (passed := perf_counter() - begin) < seconds:
        call(images)
        runs += 1
    return runs * len(images) / passed


def device_name() -> str:
    """Of the first device, as the driver calls it."""
    driver, device, name = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES)
    driver.cuInit(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, NAME_BYTES, device)
    return name.value.decode(errors="replace")


def check(folder: Path, seconds: float) -> None:
    """Print a model's agreement and timings. Raises Disagreement, ModelFolderError, ProviderUnavailable."""
    cpu, gpu = (load_any(folder, Settings(provider=each, threads=available_cores())) for each in ("cpu", "cuda"))
    agreement = compare(cpu, gpu)
    least = agreement.least_correlation
    gradients = "no gradient" if least is None else f"gradients' correlation at least {least:.6f}"
    answers = f"answers within {agreement.difference:.2g} of the largest"
    print(f"\n{cpu.name} {cpu.manifest.version}, {DRAWN} images: {answers}, {gradients}\n")
    print("| call | batch | CPU, images/s | GPU, images/s | times |\n| --- | --- | --- | --- | --- |")
    on_gpu = calls(gpu)
    for name, call in calls(cpu).items():
        for batch in BATCHES:
            images = images_for(cpu, batch)
            slow, fast = (images_per_second(each, images, seconds) for each in (call, on_gpu[name]))
            print(f"| {name} | {batch} | {slow:.0f} | {fast:.0f} | {fast / slow:.1f} |")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.check_gpu", description="Compare a GPU with the CPU.")
    parser.add_argument("--models", type=Path, default=Path("exported_models"))
    parser.add_argument("--seconds", type=float, default=3, help="of each timing")
    parser.add_argument("--device-only", action="store_true", help="only look whether there is a GPU")
    given = parser.parse_args(arguments)
    try:
        providers.choose("cuda")
        machine = f"{platform.machine()}, {available_cores()} cores"
        print(f"{device_name()}; {machine}; ONNX Runtime {onnxruntime.__version__}")
        if given.device_only:
            return 0
        folders = sorted(path.parent for path in given.models.glob(f"*/{manifest.FILE_NAME}"))
        if not folders:
            raise ModelFolderError(f"{given.models} holds no model: name the models directory by --models")
        for folder in folders:
            check(folder, given.seconds)
    except (providers.ProviderUnavailable, ModelFolderError, Disagreement) as error:
        print(f"check_gpu: FAILED. {error}", file=sys.stderr)
        return 1
    print("\ncheck_gpu: the GPU gives what the CPU gives")
    return 0


if __name__ == "__main__":
    sys.exit(main())
