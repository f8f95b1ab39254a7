"""JPEGs of natural sizes for the load, out of tars of photos: nothing is enlarged by more than a sixth."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SIZES: dict[str, tuple[int, int]] = {"180×180": (180, 180), "500×375": (500, 375), "12 MP": (4000, 3000)}
QUALITY = 90
PHOTOS = {"180×180": 16, "500×375": 16, "12 MP": 4}
MOST_ENLARGED = 7 / 6
TILES = 400
SEED = 0


@dataclass(frozen=True)
class Photos:
    """The JPEGs of one size, and how they were made."""

    size: str
    jpegs: tuple[bytes, ...]
    made: str

    def __str__(self) -> str:
        return f"{self.size}: {len(self.jpegs)} {self.made}, {np.mean([*map(len, self.jpegs)]) / 1e3:.0f} kB on average"


def load_photos(tars: Sequence[Path], sample: Path, sizes: Sequence[str], count: int | None = None) -> list[Photos]:
    """Photos of each size out of the tars, always the same, `count` or PHOTOS; without tars the sample, resized."""
    if not tars:
        with Image.open(sample) as image:
            whole = image.convert("RGB")
        return [Photos(size, (_jpeg(_fitted(whole, SIZES[size])),), "resized sample") for size in sizes]
    files = _read(tars)
    order = np.random.default_rng(SEED).permutation(len(files))
    shuffled = [files[i] for i in order]
    return [_of_size(size, shuffled, count or PHOTOS[size]) for size in sizes]


def _of_size(size: str, files: Sequence[tuple[tuple[int, int], bytes]], count: int) -> Photos:
    """Cut from photos of about this size, or, where there are too few, from several side by side: enlarged ones would
    be smoother, and quicker to decode, than any photo is."""
    width, height = SIZES[size]
    fitting = [file for file in files if MOST_ENLARGED * file[0][0] >= width and MOST_ENLARGED * file[0][1] >= height]
    if len(fitting) >= count:
        nearest = sorted(fitting, key=lambda file: file[0][0] * file[0][1])[:count]
        return Photos(size, tuple(_jpeg(_fitted(_decoded(data), (width, height))) for _, data in nearest), "photos")
    largest = sorted(files, key=lambda file: -min(file[0]))[:TILES]
    tiles = [_decoded(data) for _, data in largest]
    jpegs = [_jpeg(_mosaic(tiles, number, (width, height))) for number in range(count)]
    return Photos(size, tuple(jpegs), f"mosaics of {len(tiles)} photos")


def _mosaic(tiles: Sequence[Image.Image], number: int, size: tuple[int, int]) -> Image.Image:
    """Strips of photos at their own scale, all cut to the height of the lowest. Each number begins elsewhere."""
    canvas = Image.new("RGB", size)
    strip = min(tile.height for tile in tiles)
    at = number * 37
    for top in range(0, size[1], strip):
        left = 0
        while left < size[0]:
            tile = tiles[at % len(tiles)]
            cut = (tile.height - strip) // 2
            canvas.paste(tile.crop((0, cut, tile.width, cut + strip)), (left, top))
            left += tile.width
            at += 1
    return canvas


def _read(tars: Sequence[Path]) -> list[tuple[tuple[int, int], bytes]]:
    """(width, height) and bytes of every image in the tars."""
    found = []
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                data = file.read()
                try:
                    with Image.open(io.BytesIO(data)) as image:
                        found.append((image.size, data))
                except UnidentifiedImageError:
                    continue
    return found


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.fit(image, size, Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
