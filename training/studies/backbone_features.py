"""What graphs give for images, described once and kept in files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.progress import Progress
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from training.studies.backbone_graphs import Floats, Images, Runner
from training.studies.erasing import occlusion, to_mean

BATCH = 8  # larger batches take longer an image: their maps leave the cache


def describe(
    images: Iterable[Image.Image],
    count: int,
    runners: Mapping[str, tuple[InputConfig, Runner]],
    change: Callable[[Images, int], Images] = lambda pixels, start: pixels,
) -> dict[str, Floats]:
    """What each runner gives for `count` images, each drawn once. `change` alters the pixels of a batch, given the
    place of its first image."""
    found: dict[str, list[Floats]] = {name: [] for name in runners}
    progress, waiting = Progress(count), list[Image.Image]()
    for place, image in enumerate(images):
        waiting.append(image)
        if len(waiting) < BATCH and place < count - 1:
            continue
        fed: dict[InputConfig, Images] = {}
        for name, (rule, run) in runners.items():
            if rule not in fed:
                pixels = np.stack([resize(each, rule).pixels for each in waiting])
                fed[rule] = change(pixels, place + 1 - len(waiting))
            found[name].append(run(fed[rule]))
        progress.step(len(waiting))
        waiting = []
    return {name: np.concatenate(rows) for name, rows in found.items()}


def hidden(pixels: Images, indices: Sequence[int]) -> Images:
    """uint8 (n, S, S, 3) with a random 30 % of a grid, by the images' indices, at the image's mean colour."""
    masks = torch.stack([occlusion(int(index), pixels.shape[1]) for index in indices])
    values = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float()
    return np.ascontiguousarray(to_mean(values, masks).round().byte().permute(0, 2, 3, 1).numpy())


def kept(path: Path, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
    """From the file, if an earlier run left it."""
    if not path.exists():
        print(path.stem, file=sys.stderr)
        with atomic_file(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **make())
    with np.load(path) as arrays:
        return dict(arrays)
