"""On which ground drawings on transparency are told apart: pairs by colour of the drawing and of the ground.

    python -m benchmarks.transparent_ground [--count 24] [--model FOLDER]

Of `count` drawn outlines (training/drawings) all pairs of different ones, and each with its copy of two thirds of the
size: the embedder's similarities. `phototriage.images.transparency` has the rule that follows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from phototriage.common.errors import PhototriageError
from phototriage.duplicates.pairs import similarities
from phototriage.images.pixels import resize
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.drawings import draw_set
from training.statistics.tables import short, table

SEED = 7
LAID = [(ink, 255) for ink in (255, 252, 248, 244, 240, 232, 224, 192, 128, 0)]  # colour of the drawing, of the ground
LAID += [(255, ground) for ground in (0, 32, 64, 96, 128)]


def laid(opacity: Image.Image, ink: int, ground: int) -> Image.Image:
    image = Image.new("L", opacity.size, ground)
    image.paste(ink, mask=opacity)
    return image


def row(opacities: Sequence[Image.Image], ink: int, ground: int, model: Embedder) -> list[str]:
    config, rescoring = model.manifest.input, model.manifest.layout_rescoring
    images = [laid(opacity, ink, ground) for opacity in opacities]
    copies = [image.resize((image.width * 2 // 3, image.height * 2 // 3)) for image in images]
    embeddings, of_copies = (
        np.concatenate([model.embed(resize(image, config).pixels[np.newaxis]) for image in group])
        for group in (images, copies)
    )
    first, second = np.triu_indices(len(images), 1)
    different = similarities(embeddings[first], embeddings[second], rescoring)
    same = similarities(embeddings, of_copies, rescoring)
    figures = (np.median(different), np.quantile(different, 0.9), same.min())
    return [f"{ink} on {ground}", *(short(float(figure)) for figure in figures)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transparent_ground", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=24, help="drawings")
    parser.add_argument("--model", type=Path, default=Path("exported_models/near_duplicates"))
    given = parser.parse_args(arguments)
    try:
        model = load_embedder(given.model, Settings(provider="cpu"))
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    opacities = [image.getchannel("A") for image in draw_set("transparent art", given.count, SEED)]
    rows = [row(opacities, ink, ground, model) for ink, ground in LAID]
    print(table(["drawing on ground", "different: median", "different: 90 %", "copies: least"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
