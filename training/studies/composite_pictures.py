"""Histograms of scores, and the images at the right end of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.data.composites import Composites

SHOWN, SCALE, FRAME = 14, 2, 2  # images in a row; their enlargement; pixels of the frame around a composite
LABEL = 220  # pixels
ORANGE = (213, 94, 0)  # Okabe & Ito (2008)


def save_pictures(
    scores: Mapping[str, NDArray[np.float64]], trivial: NDArray[np.float64], side: Composites, folder: Path, recipe: str
) -> None:
    """folder/RECIPE_histograms.png: the scores of whole images and of composites; folder/RECIPE_tail.png: for each
    scorer a row of the images that it finds most remarkable, composites framed."""
    everything = {**scores, "best trivial feature": trivial}
    _histograms(everything, side.is_composite, folder / f"{recipe}_histograms.png")
    rows = [_row(name, side, np.argsort(-values, kind="stable")[:SHOWN]) for name, values in everything.items()]
    Image.fromarray(np.concatenate(rows)).save(folder / f"{recipe}_tail.png")


def _row(name: str, side: Composites, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    height = side.images.shape[1] * SCALE + 2 * FRAME
    label = Image.new("RGB", (LABEL, height), "white")
    ImageDraw.Draw(label).text((6, height // 2), name, "black", anchor="lm", font=ImageFont.load_default(13))
    tiles = [np.asarray(label)]
    for place in chosen:
        image = side.images[place]
        image = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
        image = image.repeat(SCALE, 0).repeat(SCALE, 1)
        colour = ORANGE if side.is_composite[place] else (255, 255, 255)
        tile = np.full((image.shape[0] + 2 * FRAME, image.shape[1] + 2 * FRAME, 3), colour, np.uint8)
        tile[FRAME:-FRAME, FRAME:-FRAME] = image
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


def _histograms(scores: Mapping[str, NDArray[np.float64]], is_composite: NDArray[np.bool_], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 3
    rows = -(-len(scores) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(12, 2.6 * rows), layout="constrained", squeeze=False)
    for axis in axes.ravel()[len(scores) :]:
        axis.set_visible(False)
    for axis, (name, values) in zip(axes.ravel(), scores.items(), strict=False):
        _histogram(axis, name, values, is_composite)
    axes[0, 0].legend(loc="upper right")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _histogram(axis: Any, name: str, values: NDArray[np.float64], is_composite: NDArray[np.bool_]) -> None:
    low, high = (float(value) for value in np.quantile(values, (0.001, 0.999)))
    edges = np.linspace(low, high, 50) if low < high else np.linspace(low - 0.5, low + 0.5, 50)
    axis.hist(values[~is_composite], edges, density=True, alpha=0.6, color="#0072B2", label="whole")
    axis.hist(values[is_composite], edges, density=True, alpha=0.6, color="#D55E00", label="composite")
    axis.set_title(name, fontsize=9)
    axis.set_yticks([])
