"""The contact sheet of the distortions: each of them at three severities.

python -m benchmarks.distortion_sheet --photo docs/cat.jpg --to docs/distortions.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from phototriage.images.pixels import ImageLimits, decode
from training.reposts.distortions import DISTORTIONS, distort

SEVERITIES = (0.2, 0.6, 1.0)
GROUPS, CELL, LABEL, GAP = 3, (170, 128), 18, 4  # distortions in a row; pixels
PHOTO_SIDE = 300
QUALITY = 80


def sheet(photo: Image.Image, seed: int) -> Image.Image:
    """Every distortion of an RGB photo with its name, from mild to strong with the same randomness."""
    group_width, row_height = len(SEVERITIES) * (CELL[0] + GAP) + 2 * GAP, CELL[1] + LABEL + GAP
    rows = -(-len(DISTORTIONS) // GROUPS)
    result = Image.new("RGB", (GROUPS * group_width, rows * row_height), (250, 250, 250))
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(size=12)
    for place, name in enumerate(DISTORTIONS):
        left, top = place % GROUPS * group_width + GAP, place // GROUPS * row_height
        for column, severity in enumerate(SEVERITIES):
            view = distort(photo, name, severity, np.random.default_rng((seed, place)))
            size = f"{view.width}x{view.height}"
            caption = f"{name} {severity:g} ({size})" if column == 0 else f"{severity:g} ({size})"
            x = left + column * (CELL[0] + GAP)
            draw.text((x + 2, top + 1), caption, "black", font)
            view = ImageOps.contain(view, CELL, Image.Resampling.BICUBIC)
            result.paste(view, (x + (CELL[0] - view.width) // 2, top + LABEL + (CELL[1] - view.height) // 2))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distortion_sheet", description=__doc__)
    parser.add_argument("--photo", type=Path, default=Path("docs/cat.jpg"))
    parser.add_argument("--to", type=Path, default=Path("docs/distortions.jpg"))
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args(arguments)
    photo = decode(given.photo.read_bytes(), ImageLimits()).convert("RGB")
    photo = ImageOps.contain(photo, (PHOTO_SIDE, PHOTO_SIDE))
    sheet(photo, given.seed).save(given.to, quality=QUALITY, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
