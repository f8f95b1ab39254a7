"""Would another JPEG decoder than Pillow give the same pixels faster? One interleaved run, one thread.

    python benchmarks/decoders.py [--repeats 40]

Needs simplejpeg, opencv-python-headless and scikit-image. The picture is scikit-image's cat (CC0), tiled.
Prints the median in milliseconds of each decoder, the ratio to Pillow's with its 10th and 90th percentile over the
rounds, the largest difference of a pixel, and the same through `prepare` at 224×224.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable

import cv2  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
import PIL
import simplejpeg  # type: ignore[import-not-found, import-untyped, unused-ignore]
from numpy.typing import NDArray
from PIL import Image
from skimage import data as samples  # type: ignore[import-not-found, import-untyped, unused-ignore]

from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import ImageLimits, decode, prepare, resize

SIZES = {"180×180": (180, 180), "500×375": (500, 375), "12 MP": (4000, 3000)}  # (width, height)
RULE = InputConfig(height=224, width=224, colour="rgb", resize="bilinear", antialias=True, aspect="crop")
LIMITS = ImageLimits()


def with_pillow(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(jpeg, LIMITS))


def with_simplejpeg(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(simplejpeg.decode_jpeg(jpeg, fastdct=False, fastupsample=False))


def with_opencv(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


DECODE: dict[str, Callable[[bytes], object]] = {
    "Pillow, not as an array": lambda jpeg: decode(jpeg, LIMITS),
    "simplejpeg": with_simplejpeg,
    "OpenCV": with_opencv,
}
PREPARE: dict[str, Callable[[bytes], object]] = {
    "prepare": lambda jpeg: prepare(jpeg, RULE, LIMITS),
    "simplejpeg, then resize": lambda jpeg: resize(with_simplejpeg(jpeg), RULE),
    "OpenCV, then resize": lambda jpeg: resize(with_opencv(jpeg), RULE),
}


def cat(width: int, height: int) -> bytes:
    """A JPEG of quality 90 with the usual halved colours, tiled so that large sizes have as much detail."""
    picture: NDArray[np.uint8] = samples.chelsea()  # type: ignore[no-untyped-call, unused-ignore]
    rows, columns = -(-height // picture.shape[0]), -(-width // picture.shape[1])
    tiled = np.tile(picture, (rows, columns, 1))[:height, :width]
    file = io.BytesIO()
    Image.fromarray(tiled).save(file, "JPEG", quality=90)
    return file.getvalue()


def interleave(calls: dict[str, Callable[[bytes], object]], jpeg: bytes, repeats: int) -> NDArray[np.float64]:
    """Milliseconds (repeats, calls); every round makes each call once."""
    times = np.empty((repeats, len(calls)))
    for row in times:
        for index, call in enumerate(calls.values()):
            start = time.perf_counter()
            call(jpeg)
            row[index] = 1000 * (time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare JPEG decoders.")
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    cv2.setNumThreads(1)
    print(f"Pillow {PIL.__version__}, simplejpeg {simplejpeg.__version__}, OpenCV {cv2.__version__}, n = {repeats}")
    for size, (width, height) in SIZES.items():
        jpeg = cat(width, height)
        pixels = with_pillow(jpeg).astype(int)
        for name, other in (("simplejpeg", with_simplejpeg), ("OpenCV", with_opencv)):
            print(f"{size:8} largest difference of {name} from Pillow: {abs(other(jpeg) - pixels).max()}")
        for calls in (DECODE, PREPARE):
            interleave(calls, jpeg, 2)
            times = interleave(calls, jpeg, repeats)
            ratios = np.percentile(times[:, :1] / times, (10, 50, 90), axis=0)
            for name, milliseconds, (low, middle, high) in zip(calls, np.median(times, axis=0), ratios.T, strict=True):
                print(f"{size:8} {name:24} {milliseconds:8.2f} ms  {middle:.2f}× ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
