"""What does an embedded colour profile cost? One interleaved run, one thread, CPU time.

    python -m benchmarks.colour_profiles [--repeats 40]

The picture is docs/cat.jpg, tiled. Prints the median in milliseconds of `prepare` at 224×224 for a JPEG without a
profile, with sRGB's and with Display P3's, and the ratio to the first with its 10th and 90th percentile.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, prepare
from tests.colour_profiles import DISPLAY_P3, SRGB, rgb_profile

CAT = Path(__file__).parents[1] / "docs" / "cat.jpg"
SIZES = {"500×375": (500, 375), "12 MP": (4032, 3024)}  # (width, height)
PROFILES = {"none": None, "sRGB": rgb_profile(SRGB), "Display P3": rgb_profile(DISPLAY_P3)}
RULE = InputConfig(height=224, width=224, colour="rgb", resize="bilinear", antialias=True, aspect="stretch")
LIMITS = ImageLimits()


def jpeg(width: int, height: int, profile: bytes | None) -> bytes:
    """Of quality 90, tiled so that large sizes have as much detail."""
    picture = np.asarray(Image.open(CAT).convert("RGB"))
    rows, columns = -(-height // picture.shape[0]), -(-width // picture.shape[1])
    file = io.BytesIO()
    image = Image.fromarray(np.tile(picture, (rows, columns, 1))[:height, :width])
    image.save(file, "JPEG", quality=90, icc_profile=profile)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="Time embedded colour profiles.")
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    print(f"Pillow {PIL.__version__}, n = {repeats}")
    for size, (width, height) in SIZES.items():
        files = [jpeg(width, height, profile) for profile in PROFILES.values()]
        times = np.empty((repeats + 1, len(files)))
        for row in times:  # the first isn't counted
            for index, file in enumerate(files):
                start = time.process_time()
                prepare(file, RULE, LIMITS)
                row[index] = 1000 * (time.process_time() - start)
        ratios = np.percentile(times[1:] / times[1:, :1], (10, 50, 90), axis=0)
        for name, milliseconds, (low, middle, high) in zip(PROFILES, np.median(times[1:], 0), ratios.T, strict=True):
            print(f"{size:8} {name:10} {milliseconds:7.2f} ms  {middle:.2f}× ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
