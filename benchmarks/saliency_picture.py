"""The picture of the README: a photo, what the model looked at, what FeatOut would have hidden.

python -m benchmarks.saliency_picture docs/cat.jpg -o docs/cat_saliency.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from phototriage.cli.saliency import overlay
from phototriage.images.pixels import ImageLimits, decode
from phototriage.models.model_set import Models, load_models
from phototriage.settings import read_settings
from phototriage.triage import pipeline

CAPTION_HEIGHT, MARGIN = 34, 8


def panels(models: Models, data: bytes) -> list[tuple[str, NDArray[np.uint8]]]:
    """Captions and uint8 (H, W, 3) RGB pictures, from the same calls as the service's answers."""
    photo = np.asarray(decode(data, ImageLimits()).convert("RGB"))
    answer = pipeline.classify(models, data)
    gradient = pipeline.saliency(models, data, "gradient")
    featout = pipeline.saliency(models, data, "featout")
    hidden = (photo * (1 - featout.mask[..., np.newaxis] / 255)).round().astype(np.uint8)
    return [
        (f"{answer.label} {answer.confidence:.1%}", photo),
        ("gradient: where the answer comes from", overlay(photo, gradient.mask)),
        ("FeatOut: what training would hide", hidden),
    ]


def side_by_side(parts: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """The pictures in a row, each under its caption, on white."""
    height, width = parts[0][1].shape[:2]
    sheet = Image.new("RGB", (len(parts) * (width + MARGIN) - MARGIN, height + CAPTION_HEIGHT), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=20)
    for i, (caption, pixels) in enumerate(parts):
        draw.text((i * (width + MARGIN) + 4, 4), caption, fill="black", font=font)
        sheet.paste(Image.fromarray(pixels), (i * (width + MARGIN), CAPTION_HEIGHT))
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency_picture", description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    side_by_side(panels(load_models(read_settings()), given.photo.read_bytes())).save(given.output, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
