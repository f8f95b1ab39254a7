"""All images of a set at one small size, decoded once: what many cheap epochs read over and over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phototriage.common.progress import Progress
from phototriage.images.input_config import InputConfig
from training.data.batches import batches
from training.data.dataset import Dataset

BATCH = 64


def cached_pixels(data: Dataset, rule: InputConfig, path: Path, *, workers: int) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C), in the order of the records, as serving would feed them; mapped from the file `path`.

    The file is written under a temporary name and renamed when it is whole. One of another shape is made again; that
    it is of the same images is the caller's to know: it lies in the folder of a run, which belongs to one set.
    """
    shape = (len(data), rule.height, rule.width, rule.channels)
    if path.exists():
        found: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        if found.shape == shape and found.dtype == np.uint8:
            return found
    part = path.with_name(path.name + ".part")
    pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    done, progress = 0, Progress(len(data), title=f"{data.name} at {rule.width} px: ")
    for images, _ in batches(data, range(len(data)), rule, batch_size=BATCH, workers=workers):
        pixels[done : done + len(images)] = images.permute(0, 2, 3, 1).numpy()
        done += len(images)
        progress.step(len(images))
    pixels.flush()
    del pixels
    part.replace(path)
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return mapped
